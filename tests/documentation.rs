//! The pages of `docs/` name tests that exist.

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
