//! The pages of `docs/` name tests that exist, and show code that is compiled.

use std::path::Path;

#[test]
fn the_checklist_names_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/checklist.md")).unwrap();
    let mut lines = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && line.contains("::")) {
        lines += 1;
        assert!(line.starts_with(&format!("| {lines} |")), "the points are numbered: {line}");
        let names = line.split('`').filter(|word| word.contains("::"));
        for name in names {
            let (file, test) = name.split_once("::").unwrap();
            let path = [format!("checklist/{file}.rs"), format!("{file}.rs")].map(|file| root.join(file));
            let source = path.iter().find_map(|path| std::fs::read_to_string(path).ok());
            let source = source.unwrap_or_else(|| panic!("no file for {name}"));
            assert!(source.contains(&format!("fn {test}()")), "{name} does not exist");
        }
    }
    assert_eq!(lines, 76);
}

/// The guide's plugin, traffic and test are files of a crate in the workspace, whose test runs with all others.
#[test]
fn the_first_plugin_is_a_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/first-plugin.md")).unwrap();
    for file in ["src/lib.rs", "scenario.json", "tests/key.rs"] {
        let source = std::fs::read_to_string(root.join("plugins/hello-filter").join(file)).unwrap();
        // The guide's reader has the tools that the attribute asks for.
        let shown: String = source.split_inclusive('\n').filter(|line| !line.starts_with("#[needs::")).collect();
        assert!(page.contains(&format!("\n{shown}```\n")), "docs/first-plugin.md does not show {file} as it is");
    }
}
