//! Writes a static library in GNU's format, with the index that linkers need.

use std::io::{self, Write};

/// A member: file name of at most 15 bytes, content, and the global symbols that it defines.
pub struct Member<'a> {
    pub name: String,
    pub content: &'a [u8],
    pub symbols: Vec<String>,
}

/// Writes the members.
pub fn write(out: &mut impl Write, members: &[Member<'_>]) -> io::Result<()> {
    const MAGIC: &[u8] = b"!<arch>\n";
    let names: Vec<u8> =
        members.iter().flat_map(|member| &member.symbols).flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect();
    let count: usize = members.iter().map(|member| member.symbols.len()).sum();
    let index_size = 4 + 4 * count + names.len();

    let mut index = number(count)?.to_vec();
    let mut position = MAGIC.len() + HEADER + padded(index_size);
    for member in members {
        for _ in &member.symbols {
            index.extend(number(position)?);
        }
        position += HEADER + padded(member.content.len());
    }
    index.extend(names);

    out.write_all(MAGIC)?;
    write_member(out, "/", &index)?;
    for member in members {
        write_member(out, &format!("{}/", member.name), member.content)?;
    }
    Ok(())
}

const HEADER: usize = 60;

fn write_member(out: &mut impl Write, name: &str, content: &[u8]) -> io::Result<()> {
    // Name, time, owner, group, mode, size: no times and owners, so that the same input gives the same file.
    writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, "644", content.len())?;
    out.write_all(content)?;
    if content.len() % 2 == 1 { out.write_all(b"\n") } else { Ok(()) }
}

fn padded(size: usize) -> usize {
    size.next_multiple_of(2)
}

fn number(value: usize) -> io::Result<[u8; 4]> {
    u32::try_from(value).map(u32::to_be_bytes).map_err(|_| io::Error::other("the library would be larger than 4 GiB"))
}

#[cfg(test)]
mod tests {
    use object::read::archive::ArchiveFile;

    use super::*;

    #[test]
    fn members_and_their_symbols_are_found() {
        let member = |name: &str, content: &'static [u8], symbols: &[&str]| Member {
            name: name.to_owned(),
            content,
            symbols: symbols.iter().map(|&name| name.to_owned()).collect(),
        };
        let mut bytes = Vec::new();
        write(&mut bytes, &[member("a.o", b"odd", &["one", "two"]), member("b.o", b"even", &["three"])]).unwrap();

        let archive = ArchiveFile::parse(&*bytes).unwrap();
        let found: Vec<_> = archive
            .symbols()
            .unwrap()
            .unwrap()
            .map(|symbol| {
                let symbol = symbol.unwrap();
                let member = archive.member(symbol.offset()).unwrap();
                (symbol.name().to_vec(), member.name().to_vec(), member.data(&*bytes).unwrap().to_vec())
            })
            .collect();
        let expected = [("one", "a.o", "odd"), ("two", "a.o", "odd"), ("three", "b.o", "even")];
        assert_eq!(
            found,
            expected.map(|(a, b, c)| (a.as_bytes().to_vec(), b.as_bytes().to_vec(), c.as_bytes().to_vec()))
        );
    }
}
