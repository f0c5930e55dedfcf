//! Killed at each step, run again: it goes on, and ends as if nothing had been.

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::{Place, arguments, service, shown};
use crate::program::{Ended, LONG, onesync, run};

/// Runs `setup`, kills it when it begins its step of that number; gives what it had shown, and whether there was such a step.
async fn killed_at(home: &Path, arguments: &[&str], number: usize) -> (Ended, bool) {
    let mut child = onesync(home, arguments).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut begun = 0;
    let mut err = String::new();
    while let Some(line) = tokio::time::timeout(LONG, lines.next_line()).await.unwrap().unwrap() {
        begun += usize::from(line.ends_with(" ..."));
        err += &format!("{line}\n");
        if begun == number {
            break;
        }
    }
    if begun == number {
        child.start_kill().unwrap();
    }
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    let code = child.wait().await.unwrap().code();
    (Ended { code, out, err }, begun == number)
}

pub(super) async fn at_each_step(options: &[&str], place: impl Fn() -> Place, after: impl AsyncFn(&Place)) {
    for number in 1.. {
        let place = place();
        let arguments = arguments(&[options, &["--yes"]].concat());
        let (killed, was_one) = killed_at(&place.home(), &arguments, number).await;
        if !was_one {
            assert_eq!(killed.code, Some(0), "{}", killed.err);
            assert!(number > 4, "only {number} steps");
            after(&place).await;
            break;
        }
        let again = run(&place.home(), &arguments).await.ends_with(0);
        assert!(shown(&killed).is_some() || shown(&again).is_some(), "step {number}: {}", again.out);
        let service = service(&place.home()).await;
        assert!(service.service_account().unwrap().is_some() && !service.roles().unwrap().is_empty());
        service.set_secret("test", b"it can be written").unwrap();
        drop(service);
        if number % 3 == 1 {
            let third = run(&place.home(), &arguments).await.ends_with(0);
            assert!(third.out.contains("nothing to do"), "step {number}: {}", third.out);
        }
        after(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded() {
    at_each_step(&[], Place::new, async |_| ()).await;
}

mod postgres {
    use super::super::postgres::Server;
    use super::{Place, at_each_step};

    #[tokio::test(flavor = "multi_thread")]
    async fn with_the_database_on_a_server() {
        let server = Server::new("kill").await;
        let place = Place::new();
        let (password, admin) = (place.file("db", "of the service"), place.file("admin", &server.password));
        let (url, admin_url) = (server.url(), server.admin_url());
        let options = [
            "--database",
            &url,
            "--database-password-file",
            &password,
            "--database-admin",
            &admin_url,
            "--database-admin-password-file",
            &admin,
        ];
        at_each_step(&options, Place::new, async |_| server.remove().await).await;
    }
}
