//! The program as people run it: a process of its own, a home and a configuration below a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim};
use onesync_testkit::generate::{Company, CompanyOptions};
use serde_json::Value;
use tokio::process::{Child, Command};

/// Longer than anything that is waited for needs on a busy machine.
pub const LONG: Duration = Duration::from_secs(300);

/// Looks until it is so; says how long that took.
pub async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < LONG, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// Waits until the daemon of a home can be asked.
pub async fn serves(daemon: &mut Child, home: &Path) {
    until("it serves", async || {
        assert_eq!(daemon.try_wait().unwrap(), None, "it ended before it served");
        home.join("serve.sock").exists()
    })
    .await;
}

/// Waits until a daemon has nothing to do.
pub async fn idles(daemon: &mut Child, home: &Path) {
    until("it is idle", async || {
        assert_eq!(daemon.try_wait().unwrap(), None, "it ended before it was idle");
        let view = run(home, &["scheduler", "status", "--format", "json"]).await.ends_with(0).json();
        view["daemon"]["doing"].as_str().is_some_and(|doing| doing.starts_with("idle"))
    })
    .await;
}

/// Sends a signal to a process that was not waited for yet.
pub async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
}

/// How a run of the program ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit status; none when it was killed.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it wrote, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit status.
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }
}

/// The program on a home, ready to start.
pub fn onesync(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onesync"));
    command.arg("--home").arg(home).args(arguments).kill_on_drop(true);
    command.env_remove("ONESYNC_HOME").env_remove("ONESYNC_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub async fn run(home: &Path, arguments: &[&str]) -> Ended {
    Ended::of(onesync(home, arguments).output().await.unwrap())
}

/// A folder with a configuration that can be changed before it is applied, and a home beside it.
pub struct Setup {
    folder: tempfile::TempDir,
}

/// A generated directory of so many objects, as LDIF.
pub fn directory(objects: usize) -> String {
    let company = Company::new(CompanyOptions { seed: 4, objects, ..CompanyOptions::default() });
    let mut bytes = Vec::new();
    company.write_ldif(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

impl Setup {
    /// Everybody changes departments in the directory, an LDIF file.
    pub fn change_departments(&self, name: &str) {
        let file = self.path().join("directory.ldif");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("\ndepartment: "));
        std::fs::write(&file, text.replace("\ndepartment: ", &format!("\ndepartment: {name} "))).unwrap();
    }

    /// The shipped rules, this source's connector file, and a connector `entra` for the simulator.
    pub async fn new(kind: &str, source: &str, cloud: &str) -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap() };
        let folder = setup.configuration();
        run(&setup.home(), &["config", "init", folder.to_str().unwrap(), "--source", kind])
            .await
            .ends_with(0);
        setup.write("connectors/source.toml", source);
        setup.write("connectors/entra.toml", cloud);
        setup
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("configuration")
    }

    /// Writes a file of the configuration.
    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.configuration().join(path), text).unwrap();
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        run(&self.home(), arguments).await
    }

    /// A file with a text, for instance a password.
    pub fn file(&self, name: &str, text: &str) -> String {
        let file = self.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Sets a secret.
    pub async fn secret(&self, name: &str, value: &str) {
        let file = self.file("secret", value);
        self.run(&["secret", "set", name, "--file", &file]).await.ends_with(0);
    }

    /// Applies the configuration.
    pub async fn apply(&self) -> Ended {
        self.run(&["config", "apply", self.configuration().to_str().unwrap()]).await
    }
}

/// The connector file of the simulated cloud.
pub fn cloud(sim: &GraphSim) -> String {
    cloud_at(&sim.base_url())
}

/// The same for a cloud at this address.
pub fn cloud_at(url: &str) -> String {
    format!(
        "name = \"entra\"\nkind = \"graph\"\nrank = 100\n[settings]\ntenant = \"{DEFAULT_TENANT_ID}\"\nclient_id = \"{DEFAULT_CLIENT_ID}\"\nsecret = \"graph\"\ngraph_url = \"{url}\"\nlogin_url = \"{url}\"\n"
    )
}

/// The secret that the simulator takes.
pub const CLOUD_SECRET: &str = DEFAULT_CLIENT_SECRET;

/// Takes the cloud out of staging, with the plan's hash.
pub async fn leave_staging(home: &Path) {
    let plan = run(home, &["staging", "plan", "entra", "--format", "json"]).await.ends_with(0).json();
    let hash = plan["hash"].as_str().unwrap();
    run(home, &["staging", "off", "entra", "--plan", hash]).await.ends_with(0);
}
