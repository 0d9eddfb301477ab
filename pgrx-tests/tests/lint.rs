//! Each rule of `scripts/lint` is broken once, on purpose, in a tree of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use indexpilot_tests::workspace;

/// A tree with these files below the target directory, linted; what the lint printed and
/// whether it was content.
fn lint(name: &str, files: &[(&str, &str)]) -> (bool, String) {
    let tree: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&tree);
    for (path, text) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().expect("a file's folder")).expect("mkdir");
        fs::write(path, text).expect("write");
    }
    let out = Command::new(workspace().join("scripts/lint"))
        .arg("rules")
        .arg(&tree)
        .output()
        .expect("scripts/lint");
    fs::remove_dir_all(&tree).expect("clean up");
    let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&out.stderr));
    (out.status.success(), text)
}

#[track_caller]
fn refused(name: &str, path: &str, text: &str, because: &str) {
    let (content, said) = lint(name, &[("src/lib.rs", "mod pg;\n"), (path, text)]);
    assert!(!content, "{path} with {text:?} was accepted");
    assert!(said.contains(because), "{because:?} is not in:\n{said}");
    assert!(said.contains(path), "{path} is not named in:\n{said}");
}

#[test]
fn a_tree_that_keeps_the_rules_is_accepted() {
    let (content, said) = lint(
        "good",
        &[
            ("src/lib.rs", "// unsafe in prose is no matter\nmod pg;\n"),
            ("src/pg/mod.rs", "use crate::pg::spi;\nunsafe fn f() {}\n"),
            (
                "src/pg/compat.rs",
                "#[cfg(feature = \"pg18\")]\nfn g() {}\n",
            ),
            ("crates/model/Cargo.toml", "[package]\nname = \"m\"\n"),
            (
                "crates/model/src/lib.rs",
                "#![allow(clippy::too_many_arguments)]\n",
            ),
        ],
    );
    assert!(content, "{said}");
}

#[test]
fn unsafe_outside_its_room_is_refused() {
    refused(
        "unsafe1",
        "src/api/mod.rs",
        "fn f() { unsafe { g() } }\n",
        "unsafe stands outside",
    );
    refused(
        "unsafe2",
        "src/api/mod.rs",
        "#![allow(unsafe_code)]\n",
        "unsafe stands outside",
    );
}

#[test]
fn an_upper_room_below_is_refused() {
    refused(
        "upper",
        "src/pg/hooks.rs",
        "use crate::config::current;\n",
        "imports an upper room",
    );
}

#[test]
fn version_differences_elsewhere_are_refused() {
    refused(
        "version",
        "src/pg/ddl.rs",
        "#[cfg(feature = \"pg17\")]\nfn f() {}\n",
        "versions stands outside",
    );
}

#[test]
fn a_pure_crate_with_the_server_in_it_is_refused() {
    refused(
        "pure1",
        "crates/a/Cargo.toml",
        "[dependencies]\npgrx.workspace = true\n",
        "depends on pgrx",
    );
    refused(
        "pure2",
        "crates/a/src/lib.rs",
        "fn f() { std::time::SystemTime::now(); }\n",
        "a pure crate uses",
    );
}

#[test]
fn blanket_waivers_are_refused_and_reasoned_ones_are_not() {
    refused(
        "waiver",
        "crates/a/src/lib.rs",
        "#![allow(dead_code)]\n",
        "a waiver hides things",
    );
    let (content, said) = lint(
        "reason",
        &[(
            "src/lib.rs",
            "#![allow(dead_code, reason = \"generated\")]\n",
        )],
    );
    assert!(content, "{said}");
}

#[test]
fn long_files_and_empty_names_are_refused() {
    refused(
        "long",
        "src/api/mod.rs",
        &"fn f() {}\n".repeat(601),
        "more than 600 lines",
    );
    refused(
        "name",
        "src/utils.rs",
        "fn f() {}\n",
        "whose name says nothing",
    );
}

#[test]
fn paths_of_one_machine_are_refused() {
    // Put together here, so that this file does not hold such a path itself.
    let path = ["", "home", "someone", "x"].join("/");
    refused(
        "machine",
        "README.md",
        &format!("see {path}\n"),
        "a path of one machine",
    );
}
