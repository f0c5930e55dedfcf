//! A key set that is lost: what is given up then, and what is not.

use crate::keys::{ACCOUNT, installed};
use crate::program::{CLOUD_SECRET, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_export_from_before_the_keys_were_lost_counts_no_more() {
    let (place, password) = installed(&[]).await;
    let home = place.home();
    let export = async |name: &str| {
        let file = place.path().join(name);
        let line = ["keys", "export", file.to_str().unwrap(), "--password-file", &password];
        run(&home, &line).await.ends_with(0)
    };
    assert!(export("before.age").await.err.contains("exported 1 key to"));
    let refused = run(&home, &["keys", "abandon", "--yes", "--format", "json"]).await.ends_with(2);
    assert_eq!(refused.json()["abandoned"], false);
    std::fs::remove_file(home.join("keyset.toml")).unwrap();
    let done = run(&home, &["keys", "abandon", "--yes", "--format", "json"]).await.ends_with(0);
    assert_eq!(done.json()["abandoned"], true);
    let status = run(&home, &["status"]).await.ends_with(0).out;
    assert!(status.contains("REMINDER: the key set was made anew"), "{status}");
    let status = run(&home, &["keys", "status"]).await.ends_with(0).out;
    assert!(status.contains("it DOES NOT OPEN all"), "{status}");
    export("after.age").await;
    let status = run(&home, &["status"]).await.ends_with(0).out;
    assert!(!status.contains("REMINDER"), "{status}");
    let status = run(&home, &["keys", "status"]).await.ends_with(0).out;
    assert!(status.contains("it opens all"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_file_is_known_to_hold_are_not_given_up() {
    let (place, password) = installed(&[]).await;
    let (home, secret) = (place.home(), place.file("secret", CLOUD_SECRET));
    run(&home, &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    let in_place = |name: &str| place.path().join(name).display().to_string();
    let (keys, backup) = (in_place("keys.age"), in_place("own.backup"));
    let under = ["--password-file", &password];
    run(&home, &[&["keys", "export", &keys][..], &under].concat()).await.ends_with(0);
    run(&home, &[&["backup", &backup, "--include-keys"][..], &under].concat()).await.ends_with(0);
    let lose = || std::fs::remove_file(home.join("keyset.toml")).unwrap();
    lose();
    for way in [&["--yes"][..], &[]] {
        let refused = run(&home, &[&["keys", "abandon"][..], way].concat()).await.ends_with(4);
        assert!(refused.out.contains("unreadable: `graph`"), "{refused:?}");
        for word in [&*keys, &*backup, "`onesync activate FILE ACCOUNT`", "--key-files-are-lost"] {
            assert!(refused.err.contains(word), "{word}: {refused:?}");
        }
    }
    assert!(run(&home, &["secret", "list"]).await.out.contains("graph"));
    let back = ["activate", &keys, ACCOUNT, "--password-file", &password, "--yes"];
    run(&home, &back).await.ends_with(0);
    run(&home, &["keys", "status"]).await.ends_with(0);
    // A newer key is in no file: the one of before is named to nobody.
    run(&home, &["keys", "rotate"]).await.ends_with(0);
    lose();
    let refused = run(&home, &back).await.ends_with(4);
    assert!(
        refused.err.contains("the key file is too old") && refused.err.contains("`onesync keys abandon`")
    );
    run(&home, &["keys", "abandon", "--yes"]).await.ends_with(0);
    run(&home, &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    run(&home, &[&["keys", "export", &in_place("later.age")][..], &under].concat()).await.ends_with(0);
    lose();
    let refused = run(&home, &back).await.ends_with(4);
    assert!(refused.err.contains("take one that holds them: `") && refused.err.contains("later.age"));
    run(&home, &["keys", "abandon", "--key-files-are-lost", "--yes"]).await.ends_with(0);
}
