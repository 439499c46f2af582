//! Debian's LemonLDAP::NG as the company's identity provider, behind Chromium. Its portal runs under an own user on loopback, and
//! everything is configured by files.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_e2e::harness::{Agent, Caller, Process, node, wait};
use serde_json::{Value, json};

use super::{
    CLIENT, GRANTED, SECRET, browser_of, comes_to_read, let_in, people, reads, redeem, setup, sign_in, sign_out, text,
};

/// The user under which the portal runs where the test is root.
const OWN_USER: &str = "www-data";
/// People of the package's demonstration, whose password is their name.
const DOCTOR: &str = "dwho";
const ROSE: &str = "rtyler";

/// The portal, with its own folder. It stops when it is dropped.
struct Lemonldap {
    folder: tempfile::TempDir,
    address: String,
    keys: [String; 2],
    process: Option<Process>,
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn keys() -> [String; 2] {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    [pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref())]
}

impl Lemonldap {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["conf", "sessions"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::copy(node::root().join("crates/e2e/perl/portal.psgi"), folder.path().join("portal.psgi")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { folder, address: free.to_string(), keys: keys(), process: None }
    }

    /// Its issuer identifier, which ends in a slash.
    fn issuer(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Writes the configuration of this number: who is an engineer, and what the checkpoint is.
    fn configure(&self, number: u32, engineers: &str, base_url: &str) {
        let folder = self.folder.path().display();
        let storage =
            json!({ "Directory": format!("{folder}/sessions"), "LockDirectory": format!("{folder}/sessions") });
        let [private, public] = &self.keys;
        let mut configuration = json!({
            "cfgNum": number, "cfgAuthor": "test", "cfgDate": "1", "cfgVersion": "2.16.1",
            "portal": self.issuer(), "domain": "127.0.0.1", "cookieName": "lemonldap", "securedCookie": 0,
            "key": "a key of this test", "whatToTrace": "_whatToTrace", "macros": { "_whatToTrace": "$uid" },
            "authentication": "Demo", "userDB": "Same", "passwordDB": "Null", "registerDB": "Null",
            "demoExportedVars": { "cn": "cn", "mail": "mail", "uid": "uid" },
            "groups": { "engineers": format!("$uid eq '{engineers}'") },
            "globalStorage": "Apache::Session::File", "globalStorageOptions": storage,
            "persistentStorage": "Apache::Session::File", "persistentStorageOptions": storage,
            "captcha": "::Captcha::None", "captcha_mail_enabled": 0, "captcha_register_enabled": 0,
            "captcha_login_enabled": 0, "portalDisplayRegister": 0, "portalDisplayResetPassword": 0,
            "locationRules": {}, "exportedHeaders": {},
        });
        let registration = json!({
            "oidcRPMetaDataOptionsClientID": CLIENT, "oidcRPMetaDataOptionsClientSecret": SECRET,
            "oidcRPMetaDataOptionsRedirectUris": format!("{base_url}/login/corp/callback"),
            "oidcRPMetaDataOptionsIDTokenSignAlg": "RS256", "oidcRPMetaDataOptionsIDTokenForceClaims": 1,
        });
        let claims = json!({ "email": "mail", "name": "cn", "preferred_username": "uid", "groups": "groups" });
        let provider = json!({
            "issuerDBOpenIDConnectActivation": 1, "issuerDBOpenIDConnectPath": "^/oauth2/", "issuerDBOpenIDConnectRule": 1,
            "oidcServicePrivateKeySig": private, "oidcServicePublicKeySig": public, "oidcServiceKeyIdSig": "key-1",
            "oidcServiceAllowAuthorizationCodeFlow": 1,
            "oidcRPMetaDataOptions": { "sekisho": registration }, "oidcRPMetaDataExportedVars": { "sekisho": claims },
            "oidcRPMetaDataOptionsExtraClaims": { "sekisho": { "groups": "groups" } },
        });
        for (name, value) in provider.as_object().unwrap() {
            configuration[name.as_str()] = value.clone();
        }
        let file = self.folder.path().join(format!("conf/lmConf-{number}.json"));
        std::fs::write(file, configuration.to_string()).unwrap();
    }

    async fn serve(&mut self) {
        let (host, port) = self.address.split_once(':').unwrap();
        let plackup = ["plackup", "-s", "HTTP::Server::PSGI", "--host", host, "--port", port, "portal.psgi"];
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=TERM");
        if rustix::process::geteuid().is_root() {
            let owner = format!("{OWN_USER}:{OWN_USER}");
            let given = Command::new("chown").args(["-R", &owner]).arg(self.folder.path()).status().unwrap();
            assert!(given.success(), "`chown` failed");
            command.args([format!("--reuid={OWN_USER}"), format!("--regid={OWN_USER}"), "--init-groups".to_owned()]);
        }
        command.args(plackup).current_dir(self.folder.path()).env("LLNG_FOLDER", self.folder.path());
        assert!(Path::new("/usr/share/lemonldap-ng/portal").exists(), "it is not there: run `scripts/install` first");
        let process = Process::start(&mut command);
        let url = format!("{}.well-known/openid-configuration", self.issuer());
        let running = async || {
            let connected = std::net::TcpStream::connect(&self.address).is_ok();
            (connected && Caller::new().get(&url).send().await.status == 200).then_some(())
        };
        wait::until("the portal answers", running).await;
        self.process = Some(process);
    }

    fn stop(&mut self) {
        self.process = None;
    }
}

impl Drop for Lemonldap {
    /// What the provider wrote is needed where a test fails at its page.
    fn drop(&mut self) {
        if let Some(process) = self.process.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("LemonLDAP::NG wrote:\n{}", process.stderr().now());
        }
    }
}

const MORE: &str = "profile = \"lemonldap\"\nscopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\
    [[login.provider.groups]]\nclaim = \"groups\"";

/// PX-08, AS-35: somebody lets a client in and signs in at LemonLDAP::NG on the way; a group there gives rights and takes them; who
/// signs out is out; and a provider that is away or is restarted in the middle of a sign-in harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn people_of_lemonldap_sign_in() {
    let mut portal = Lemonldap::new();
    let checkpoint = setup(&portal.issuer(), MORE).start().await;
    portal.configure(1, DOCTOR, checkpoint.base_url());
    portal.serve().await;
    let mut doctor = browser_of(&checkpoint, DOCTOR, DOCTOR).await;
    let tokens = let_in(&checkpoint, &mut doctor).await;
    assert!(reads(&checkpoint, &tokens).await);
    assert_eq!(people(&checkpoint).await, ["corp:dwho"]);
    sign_out(&checkpoint, &mut doctor).await;

    // It is restarted, with another engineer, while somebody is at its page.
    let agent = Agent::register(&checkpoint.server_named("notes")).await;
    let invitation = agent.invite(Some(GRANTED));
    let mut rose = browser_of(&checkpoint, ROSE, ROSE).await;
    let seen = rose.ask(&json!({ "go": invitation.url, "until": "input[type=password]" })).await;
    assert!(seen["page"]["url"].as_str().unwrap().starts_with(&portal.issuer()), "{seen:#}");
    portal.stop();
    portal.configure(2, ROSE, checkpoint.base_url());
    portal.serve().await;
    let mut seen = rose.ask(&json!({ "on": true })).await;
    if seen["redirect"].is_null() {
        seen = rose.ask(&json!({ "go": invitation.url })).await;
    }
    let of_rose = redeem(&checkpoint, &agent, &invitation, &seen).await;
    assert!(reads(&checkpoint, &of_rose).await);

    // The first person is no engineer any more, and the tokens that are out are worth nothing from the next sign-in on. The portal
    // keeps the groups of a session as they were when it began, so the sign-in is one in another browser.
    let mut doctor = browser_of(&checkpoint, DOCTOR, DOCTOR).await;
    let seen = sign_in(&checkpoint, &mut doctor).await;
    assert!(text(&seen).contains("corp:dwho"), "{seen:#}");
    comes_to_read(&checkpoint, &tokens, false).await;

    // While it is away nobody is signed in, and what was granted goes on.
    sign_out(&checkpoint, &mut doctor).await;
    portal.stop();
    let seen: Value = sign_in(&checkpoint, &mut doctor).await;
    assert!(!text(&seen).contains("corp:"), "{seen:#}");
    assert!(reads(&checkpoint, &of_rose).await);
    portal.serve().await;
    let seen = sign_in(&checkpoint, &mut doctor).await;
    assert!(text(&seen).contains("corp:dwho"), "{seen:#}");
    assert_eq!(people(&checkpoint).await.len(), 2);
}
