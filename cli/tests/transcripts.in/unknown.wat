;; Imports what no host has.
(module
  (import "env" "proxy_make_coffee" (func))
  (func (export "proxy_abi_version_0_2_1")))
