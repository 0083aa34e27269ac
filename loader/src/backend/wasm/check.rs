//! Checks imports and exports of a wasm module against the table of the ABI, before any of its code
//! runs.

use dynvm_abi::table::{CALLBACKS, Callback, ENTRY_POINTS, Param, Return, WITHOUT_END_OF_STREAM_IN_0_1_0};
use dynvm_abi::version::AbiVersion;
use wasmtime::{ExternType, FuncType, Module, ValType};

use super::linker;
use crate::error::LoadError;

/// Returns the module's ABI version.
///
/// # Errors
///
/// The module declares no version, imports functions that the host does not have, or has a function
/// of the ABI with another type.
pub(super) fn check(name: &str, module: &Module) -> Result<AbiVersion, LoadError> {
    let version = module.exports().filter_map(|export| AbiVersion::from_marker(export.name())).max();
    let version = version.ok_or_else(|| LoadError::NoAbiVersion { name: name.to_owned() })?;

    let mut unknown = Vec::new();
    for import in module.imports() {
        let (from, function) = (import.module(), import.name());
        let ExternType::Func(found) = import.ty() else {
            unknown.push(format!("{from}.{function} (not a function)"));
            continue;
        };
        let hostcall = (from == "env").then(|| dynvm_abi::table::hostcall(function)).flatten();
        let expected = match hostcall {
            Some(hostcall) if hostcall.in_version(version) => Types::of_hostcall(hostcall.params),
            Some(_) => {
                unknown.push(dynvm_abi::table::describe_unknown_import(function));
                continue;
            }
            None if from == "env" && dynvm_abi::table::is_native_hostcall(function) => {
                unknown.push(dynvm_abi::table::describe_unknown_import(function));
                continue;
            }
            None => match linker::other_function(from, function) {
                Some((params, results)) => Types { params: types(params), results: types(results) },
                None => {
                    unknown.push(format!("{from}.{function}"));
                    continue;
                }
            },
        };
        expected.check(name, function, &found, version)?;
    }
    if !unknown.is_empty() {
        return Err(LoadError::UnknownImports { name: name.to_owned(), version, functions: unknown });
    }

    for callback in CALLBACKS.iter().chain(ENTRY_POINTS) {
        if let Some(ExternType::Func(found)) = module.get_export(callback.name) {
            Types::of_callback(callback, version).check(name, callback.name, &found, version)?;
        }
    }
    Ok(version)
}

/// A function's type, with `i` for i32 and `I` for i64.
struct Types {
    params: Vec<ValType>,
    results: Vec<ValType>,
}

fn types(letters: &str) -> Vec<ValType> {
    letters.chars().map(|letter| if letter == 'I' { ValType::I64 } else { ValType::I32 }).collect()
}

fn params(params: &[Param]) -> Vec<ValType> {
    params.iter().map(|param| if param.ty.is_wasm_i64() { ValType::I64 } else { ValType::I32 }).collect()
}

impl Types {
    fn of_hostcall(of: &[Param]) -> Types {
        Types { params: params(of), results: vec![ValType::I32] }
    }

    fn of_callback(callback: &Callback, version: AbiVersion) -> Types {
        let mut params = params(callback.params);
        if version == AbiVersion::V0_1_0 && WITHOUT_END_OF_STREAM_IN_0_1_0.contains(&callback.name) {
            params.pop();
        }
        let results = if callback.returns == Return::None { vec![] } else { vec![ValType::I32] };
        Types { params, results }
    }

    fn check(&self, name: &str, function: &str, found: &FuncType, version: AbiVersion) -> Result<(), LoadError> {
        let same = |types: &[ValType], others: &mut dyn Iterator<Item = ValType>| {
            let others: Vec<ValType> = others.collect();
            types.len() == others.len() && types.iter().zip(&others).all(|(a, b)| ValType::eq(a, b))
        };
        if same(&self.params, &mut found.params()) && same(&self.results, &mut found.results()) {
            return Ok(());
        }
        Err(LoadError::WrongSignature {
            name: name.to_owned(),
            function: function.to_owned(),
            found: describe(found.params(), found.results()),
            expected: describe(self.params.iter().cloned(), self.results.iter().cloned()),
            version,
        })
    }
}

fn describe(params: impl Iterator<Item = ValType>, results: impl Iterator<Item = ValType>) -> String {
    let list = |types: &mut dyn Iterator<Item = ValType>| types.map(|ty| ty.to_string()).collect::<Vec<_>>().join(", ");
    let (params, results) = (list(&mut { params }), list(&mut { results }));
    format!("({params}) -> ({results})")
}
