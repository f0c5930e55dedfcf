//! How the credentials of the server before are ended at the cloud application: it signs in with what this one has, too.

use crate::kinds;
use crate::runtime::Runtime;

/// For each application, the commands.
pub(super) fn old_credentials(runtime: &Runtime) -> Vec<String> {
    let mut lines = Vec::new();
    for connector in runtime.connectors.iter().filter(|c| c.capabilities.export && c.capabilities.marker) {
        let text =
            |key: &str| connector.file.settings.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let Some(application) = text("client_id") else { continue };
        let secrets = kinds::secret_names(&connector.file).unwrap_or_default();
        let secret = secrets.first().map_or("NAME", String::as_str);
        lines.push(format!(
            "`{}` signs in with the same credential as the server before. To end that one's: `az ad app credential reset --id \
             {application} --append` makes a new one, `onesync secret set {secret}` takes it, `onesync connector test {}` tries it; \
             then `az ad app credential list --id {application}` names the old one, and `az ad app credential delete --id {application} \
             --key-id KEYID` removes it",
            connector.name(),
            connector.name()
        ));
    }
    lines
}
