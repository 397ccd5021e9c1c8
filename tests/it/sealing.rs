//! Keys and sealing as an operator meets them: the commands, the key file that `run` makes, and changing keys.

use crate::running::Site;
use crate::terminal;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};
use walhook::sealing::{self, Keys, SealingKey};

fn seal(site: &Site, secret: &str) -> Output {
    let arguments = ["seal", "--webhook", "7", "--field", "authentication.password"];
    let mut child = site
        .command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // a program that has refused already reads no more
    let _ = child.stdin.take().unwrap().write_all(secret.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn new_key(site: &Site) -> String {
    let output = site.command(&["key", "new"]).output().unwrap();
    assert!(text(&output.stderr).contains("To change keys"), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("whk_"));
    text(&output.stdout).trim_end().to_owned()
}

#[tokio::test]
async fn run_makes_the_key_and_seal_uses_it_also_while_keys_are_changed() {
    let site = Site::new("create table t (id int primary key)").await;
    site.configure("[[forms]]\ntable = \"t\"\n");
    let refused = seal(&site, "Demo123");
    assert_eq!(refused.status.code(), Some(69));
    assert!(text(&refused.stderr).contains("hint: `walhook run` makes it"), "{}", text(&refused.stderr));
    let (code, said) = site.run(&["setup", "--apply"]);
    assert_eq!(code, 0, "{said}");

    let running = site.start().await;
    running.wait_until_logged("a file with a new sealing key was made").await;
    let file = site.folder.path().join("walhook.key");
    let first = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let sealed = seal(&site, "Demo123\n");
    assert_eq!(sealed.status.code(), Some(0), "{}", text(&sealed.stderr));
    let sealed = text(&sealed.stdout).trim_end().to_owned();
    let place = sealing::context(7, "authentication.password");
    let keys = |texts: &[&str]| {
        Keys::new(texts.iter().map(|text| SealingKey::parse(text).unwrap()).collect()).unwrap()
    };
    assert_eq!(keys(&[&first]).open(&sealed, &place).unwrap().expose(), "Demo123");

    let second = new_key(&site);
    fs::write(&file, format!("{second}\n{first}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    running.signal("HUP");
    running.wait_until_logged("the file with the sealing keys can be read by others").await;
    running.wait_until_logged("the configuration was taken over").await;
    let both = keys(&[&second, &first]);
    let again = text(&seal(&site, "Demo123").stdout);
    assert!(both.is_current(again.trim_end()) && !both.is_current(&sealed));
    assert_eq!(both.open(&sealed, &place).unwrap().expose(), "Demo123");

    fs::write(&file, "Demo123 is no key\n").unwrap();
    running.signal("HUP");
    running.wait_until_logged("the configuration was refused").await;
    assert!(running.log().contains("line 1 of the key file"), "{}", running.log());
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("is no key"), "{said}");
    for secret in [&*first, &*second, "Demo123"] {
        assert!(!running.log().contains(secret) && !said.contains(secret), "{secret}");
    }
    assert_eq!(running.stop(), 0);

    let (code, said) = site.run(&["run"]);
    assert_eq!(code, 69, "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "Demo123 is no key\n", "never replaced");
}

#[tokio::test]
async fn what_cannot_be_sealed_is_refused() {
    let site = Site::new("").await;
    let key = new_key(&site);
    site.configure(&format!("[secrets]\nkey = \"{key}\"\n"));
    let sealed = seal(&site, "two\nlines\n");
    let place = sealing::context(7, "authentication.password");
    let keys = Keys::new(vec![SealingKey::parse(&key).unwrap()]).unwrap();
    let opened = keys.open(text(&sealed.stdout).trim_end(), &place).unwrap();
    assert_eq!(opened.expose(), "two\nlines");
    let refused = seal(&site, &text(&sealed.stdout));
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(64), String::new()));
    assert!(text(&refused.stderr).contains("this is sealed already"));
    assert_eq!(seal(&site, "").status.code(), Some(64));
    assert_eq!(seal(&site, &"x".repeat(70_000)).status.code(), Some(64));
    assert!(!site.folder.path().join("walhook.key").exists());
}

#[tokio::test]
async fn a_secret_that_is_typed_is_not_shown() {
    let site = Site::new("").await;
    let key = new_key(&site);
    site.configure(&format!("[secrets]\nkey = \"{key}\"\n"));
    let command = || site.command(&["seal", "--webhook", "7", "--field", "authentication.password"]);
    let (code, said) = terminal::type_into(command(), &["Demo123\n"]);
    assert!(code == 0 && !said.contains("Demo"), "{said}");
    let place = sealing::context(7, "authentication.password");
    let keys = Keys::new(vec![SealingKey::parse(&key).unwrap()]).unwrap();
    let sealed = said.lines().find(|line| line.starts_with("sealed:")).unwrap();
    assert_eq!(keys.open(sealed, &place).unwrap().expose(), "Demo123");
    let (code, said) = terminal::type_into(command(), &["\n"]);
    assert!(code == 64 && said.contains("there is nothing to seal"), "{said}");
}
