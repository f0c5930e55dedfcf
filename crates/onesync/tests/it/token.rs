//! The key-encryption key on a token: a wrong PIN does not lock it, whatever runs.

use std::path::{Path, PathBuf};

use crate::program::{Ended, onesync};
use crate::setup::{Place, arguments};

/// SoftHSM with a token of its own.
struct Token {
    conf: PathBuf,
}

impl Token {
    async fn run(&self, home: &Path, line: &[&str]) -> Ended {
        Ended::of(onesync(home, line).env("SOFTHSM2_CONF", &self.conf).output().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whoever_asks_about_keys_tries_a_pin_after_one_was_refused() {
    let modules = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so"];
    let Some(module) = modules.iter().find(|module| Path::new(module).exists()) else {
        eprintln!("SKIPPED: no SoftHSM here: `tests/servers/softhsm.sh install`");
        return;
    };
    let place = Place::new();
    let tokens = place.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let token = Token { conf: place.path().join("softhsm2.conf") };
    std::fs::write(&token.conf, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let made = std::process::Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "onesync", "--so-pin", "654321", "--pin", "123456"])
        .env("SOFTHSM2_CONF", &token.conf)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let pin = |text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let file = place.file("pin", text);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    };
    let kek = format!("pkcs11:{module}?token=onesync&key=kek&pin={}", pin("123456"));
    let home = place.home();
    token.run(&home, &arguments(&["--kek", &kek, "--yes"])).await.ends_with(0);
    let status = token.run(&home, &["status"]).await;
    assert!(status.out.contains("key set present"), "{status:?}");

    pin("999999");
    let refused = token.run(&home, &["status"]).await.ends_with(4);
    assert!(refused.out.contains("refused the PIN in") && !refused.out.contains("999999"), "{refused:?}");
    // The right one is there again: but the token has refused one, and this is nobody who looks at what comes of it.
    pin("123456");
    for line in [&["status"][..], &["secret", "list"]] {
        let careful = token.run(&home, line).await;
        let said = careful.out + &careful.err;
        assert!(line[0] == "secret" || said.contains("run `onesync keys status`"), "{said}");
        assert!(!said.contains("key set present"), "{said}");
    }
    token.run(&home, &["keys", "status"]).await.ends_with(0);
    let again = token.run(&home, &["status"]).await;
    assert!(again.out.contains("key set present"), "{again:?}");
}
