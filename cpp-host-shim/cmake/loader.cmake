# SPDX-License-Identifier: Apache-2.0
#
# The target dynvm_loader: the loader's C API, given or built by cargo.

add_library(dynvm_loader STATIC IMPORTED)

if(NOT DYNVM_LOADER_LIBRARY)
  find_program(DYNVM_CARGO cargo REQUIRED)
  get_filename_component(workspace "${CMAKE_CURRENT_SOURCE_DIR}" DIRECTORY)
  set(loader_target "${CMAKE_CURRENT_BINARY_DIR}/cargo")
  set(loader "${loader_target}/release/libdynvm_loader.a")
  # Cargo detects changes, so it runs at each build.
  add_custom_target(
    dynvm_loader_by_cargo
    COMMAND "${DYNVM_CARGO}" build --release --locked -p dynvm-capi --target-dir "${loader_target}"
    WORKING_DIRECTORY "${workspace}"
    BYPRODUCTS "${loader}"
    USES_TERMINAL)
  add_dependencies(dynvm_loader dynvm_loader_by_cargo)
else()
  set(loader "${DYNVM_LOADER_LIBRARY}")
endif()

set_target_properties(dynvm_loader PROPERTIES IMPORTED_LOCATION "${loader}")
target_link_libraries(dynvm_loader INTERFACE ${CMAKE_DL_LIBS} m gcc_s)
