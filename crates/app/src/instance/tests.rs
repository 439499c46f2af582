use sekisho_acts::command::Command;
use sekisho_protocol::role::Role;

use super::{Instance, Parts, Source};
use crate::config::Configuration;
use crate::control::{Control, Reply};
use crate::data_dir::DataDir;

/// A user who was just added can sign in at once, and a disabled one cannot, although this test does not follow the
/// feed.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_did_is_in_force_when_the_command_returns() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(Some(folder.path())).unwrap();
    let (lock, store) = (data.lock().unwrap().unwrap(), data.store().await.unwrap());
    let (configuration, source) = (Configuration::default(), Source::Store);
    let instance = Instance::start(Parts { data, lock, store, configuration, source, port: 1 }).await.unwrap();
    let control = Control::of(&instance);
    let mut rights = instance.watches.rights.subscribe();
    for act in [
        Command::UserAdd { name: "bob".to_owned(), role: Role::User, password: None },
        Command::UserRole { name: "bob".to_owned(), role: Role::Administrator },
        Command::UserDisable { name: "bob".to_owned() },
    ] {
        assert!(!rights.has_changed().unwrap(), "{act:?}");
        let reply = control.perform(act).await;
        assert!(matches!(reply, Reply::Done(_)), "{reply:?}");
        assert!(rights.has_changed().unwrap());
        rights.mark_unchanged();
    }
}
