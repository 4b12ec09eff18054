# Run by cpack between install and package: what Debian policy wants to be
# otherwise than in a plain install (12.1, 12.5, 12.7).
set(stage ${CPACK_TEMPORARY_DIRECTORY})
set(doc ${stage}/usr/share/doc/axvm-run)

file(REMOVE ${doc}/LICENSE) # a common licence; copyright refers to it
file(COPY ${CPACK_AXVM_PACKAGING}/copyright DESTINATION ${doc}
    FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)

file(RENAME ${doc}/CHANGELOG.md ${doc}/changelog)
set(VERSION ${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
set(CONTACT ${CPACK_PACKAGE_CONTACT})
string(TIMESTAMP DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(${CPACK_AXVM_PACKAGING}/changelog.in ${doc}/changelog.Debian
    @ONLY FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)

file(GLOB pages ${stage}/usr/share/man/man*/*.[0-9])
execute_process(
    COMMAND gzip -9nf ${doc}/changelog ${doc}/changelog.Debian ${pages}
    COMMAND_ERROR_IS_FATAL ANY)
