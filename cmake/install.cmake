# What `cmake --install` puts where. /etc/axvm is the administrator's own:
# nothing is installed there.
install(TARGETS axvm-run axvm-client RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

foreach(section 1 5)
    file(GLOB AXVM_PAGES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.${section})
    install(FILES ${AXVM_PAGES}
        DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

foreach(program axvm axvm-run)
    install(FILES completions/${program}.bash
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME ${program})
    install(FILES completions/_${program}
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
endforeach()

file(GLOB AXVM_SAMPLES CONFIGURE_DEPENDS
    ${CMAKE_SOURCE_DIR}/configs/*.toml ${CMAKE_SOURCE_DIR}/configs/*.conf)
install(FILES ${AXVM_SAMPLES} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
