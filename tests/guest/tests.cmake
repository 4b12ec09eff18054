# The guests on this machine's KVM; included by tests/CMakeLists.txt. A name is
# guest[-variant]; run-guest.sh says what the words behind it mean.
set(GUEST_RUNNER ${CMAKE_CURRENT_LIST_DIR}/run-guest.sh)
set(GUEST_CONFIGS ${CMAKE_BINARY_DIR}/tests/guest/${AXVM_HOST_ARCH})

# axvm_guest(NAME GUEST STATUS [TEXT...] [-- OPTION...]): one run.
function(axvm_guest name guest)
    add_test(NAME guest_${name}
        COMMAND ${GUEST_RUNNER} ${GUEST_CONFIGS}/${guest}.toml ${ARGN})
    set_tests_properties(guest_${name} PROPERTIES LABELS guest TIMEOUT 90
        ENVIRONMENT "AXVM_RUN=$<TARGET_FILE:axvm-run>" SKIP_RETURN_CODE 77)
endfunction()

# axvm_guest_input(NAME TEXT): what that run reads from its console.
function(axvm_guest_input name text)
    set_property(TEST guest_${name} APPEND PROPERTY
        ENVIRONMENT "INPUT=${text}")
endfunction()

include(${CMAKE_CURRENT_LIST_DIR}/${AXVM_HOST_ARCH}/tests.cmake)
