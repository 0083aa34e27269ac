# SPDX-License-Identifier: Apache-2.0
#
# The tests that need no Rust: the contract of a WasmVm, an embedder's ten lines, and, with a host, whole streams through it.

function(add_plugin name source)
  add_library(${name} MODULE ${source})
  target_include_directories(${name} PRIVATE ../plugin-abi/include)
  target_compile_definitions(${name} PRIVATE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/plugins")
endfunction()

function(add_program name)
  add_executable(${name} tests/data/${name}.cc)
  target_link_libraries(${name} PRIVATE dynvm::cpp_host)
  if(DYNVM_CPP_HOST_INCLUDE)
    target_compile_definitions(${name} PRIVATE DYNVM_CPP_HOST_GIVEN)
    target_link_libraries(${name} PRIVATE ${DYNVM_CPP_HOST_LIB})
  endif()
endfunction()

set(plugins "${CMAKE_CURRENT_BINARY_DIR}/plugins")
foreach(variant PLUGIN NO_ALLOCATOR RESTLESS FAULTY OLD COMMAND OWN)
  string(TOLOWER ${variant} name)
  add_plugin(${name} tests/data/plugin.c ${variant})
endforeach()
add_plugin(new tests/data/new.cc)
file(WRITE "${plugins}/refuses.toml" "[native]\nallow = false\n")
file(WRITE "${plugins}/allows.toml" "[native]\nallow = true\n")

add_program(shim)
add_test(NAME contract COMMAND shim "${plugins}")

if(DYNVM_CPP_HOST_INCLUDE)
  add_plugin(stream tests/data/stream.c)
  add_program(lifecycle)
  foreach(way shared path null)
    add_test(NAME streams_${way} COMMAND lifecycle ${way} "$<TARGET_FILE:stream>" x-answer "# of " crashes)
  endforeach()
  add_program(embedder)
  add_test(NAME embedder COMMAND embedder "$<TARGET_FILE:stream>")
endif()
