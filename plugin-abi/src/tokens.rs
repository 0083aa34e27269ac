//! The type tokens of the tables (`u32 i32 u64 i64 bool ptr size size32 out_ptr out_size out_u32 out_u64`), each
//! resolved by one macro: for the rows as data, for native code, for wasm, for the host's side of hostcalls, and for
//! callers of callbacks. No other code matches on tokens. A new token is added to each of these macros.

/// The [`Type`] that a token of the tables stands for.
#[macro_export]
#[doc(hidden)]
macro_rules! __type {
    (u32) => {
        $crate::table::Type::U32
    };
    (i32) => {
        $crate::table::Type::I32
    };
    (u64) => {
        $crate::table::Type::U64
    };
    (i64) => {
        $crate::table::Type::I64
    };
    (bool) => {
        $crate::table::Type::Bool
    };
    (ptr) => {
        $crate::table::Type::Ptr
    };
    (size) => {
        $crate::table::Type::Size
    };
    (size32) => {
        $crate::table::Type::Size32
    };
    (out_ptr) => {
        $crate::table::Type::OutPtr
    };
    (out_size) => {
        $crate::table::Type::OutSize
    };
    (out_u32) => {
        $crate::table::Type::OutU32
    };
    (out_u64) => {
        $crate::table::Type::OutU64
    };
}

/// The native type of a token of the tables.
#[macro_export]
#[doc(hidden)]
macro_rules! __native_type {
    (u32) => { u32 };
    (i32) => { i32 };
    (u64) => { u64 };
    (i64) => { i64 };
    (bool) => { u32 };
    (ptr) => { *const u8 };
    (size) => { usize };
    (size32) => { usize };
    (out_ptr) => { *mut *mut u8 };
    (out_size) => { *mut usize };
    (out_u32) => { *mut u32 };
    (out_u64) => { *mut u64 };
}

/// The wasm type of a token of the tables: `i64`, or `i32`, which also holds addresses and sizes.
#[macro_export]
#[doc(hidden)]
macro_rules! __wasm_type {
    (u64) => {
        u64
    };
    (i64) => {
        u64
    };
    (u32) => {
        u32
    };
    (i32) => {
        u32
    };
    (bool) => {
        u32
    };
    (ptr) => {
        u32
    };
    (size) => {
        u32
    };
    (size32) => {
        u32
    };
    (out_ptr) => {
        u32
    };
    (out_size) => {
        u32
    };
    (out_u32) => {
        u32
    };
    (out_u64) => {
        u32
    };
}

/// The Rust type of a hostcall's parameter on the host's side; addresses have the type that follows the token.
#[macro_export]
#[doc(hidden)]
macro_rules! __host_type {
    (u32, $address:ty) => {
        u32
    };
    (i32, $address:ty) => {
        i32
    };
    (u64, $address:ty) => {
        u64
    };
    (i64, $address:ty) => {
        i64
    };
    (bool, $address:ty) => {
        bool
    };
    (size, $address:ty) => {
        u64
    };
    (size32, $address:ty) => {
        u32
    };
    (ptr, $address:ty) => {
        $address
    };
    (out_ptr, $address:ty) => {
        $address
    };
    (out_size, $address:ty) => {
        $address
    };
    (out_u32, $address:ty) => {
        $address
    };
    (out_u64, $address:ty) => {
        $address
    };
}

/// The Rust type of a callback's parameter on the caller's side.
#[macro_export]
#[doc(hidden)]
macro_rules! __callback_type {
    (u32) => {
        u32
    };
    (bool) => {
        bool
    };
    (size) => {
        usize
    };
}
