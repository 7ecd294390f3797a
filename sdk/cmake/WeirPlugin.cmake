# weir_add_plugin(): one shared object that a weir host can load.
#
#   weir_add_plugin(NAME SOURCES a.c b.c MANIFEST plugin.json
#                   [LINK libs...] [OPTION_GROUPS dir...] [HEADERS dir]
#                   [OUTPUT_DIRECTORY dir] [NO_INSTALL])
#
# Makes the target plugin_<NAME>: NAME.so, with plugin.json as an ELF note inside and as the sidecar
# NAME.plugin.json beside it; the header weir_options_<NAME>.h with the option keys for its sources;
# and the Markdown page of its options. Works in weir's own tree and after find_package(weir).
#
# HEADERS takes the place of the SDK's include folder (tests of other ABI versions). NO_INSTALL
# leaves the plugin out of `cmake --install` (component `runtime`) and its page out of the documentation.

set(WEIR_PLUGIN_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR} CACHE INTERNAL "where weir_plugin.py is")

function(weir_add_plugin name)
    cmake_parse_arguments(ARG "NO_INSTALL" "MANIFEST;HEADERS;OUTPUT_DIRECTORY"
        "SOURCES;LINK;OPTION_GROUPS" ${ARGN})
    if(ARG_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "weir_add_plugin(${name}): unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT ARG_SOURCES OR NOT ARG_MANIFEST)
        message(FATAL_ERROR "weir_add_plugin(${name}): SOURCES and MANIFEST are needed")
    endif()
    if(NOT name MATCHES "^[a-z][a-z0-9_-]*$")
        message(FATAL_ERROR "weir_add_plugin(${name}): a plugin's name is lower case, digits, - and _")
    endif()
    find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter QUIET)

    if(TARGET weir_sdk)
        set(sdk weir_sdk)
        set(headers weir_headers)
    else()
        set(sdk weir::sdk)
        set(headers weir::headers)
    endif()
    if(ARG_HEADERS)
        get_filename_component(types_header ${ARG_HEADERS}/weir/types.h ABSOLUTE)
    else()
        set(types_header ${WEIR_INCLUDE_DIR}/weir/types.h)
    endif()
    set(output ${WEIR_PLUGIN_OUTPUT_DIRECTORY})
    if(ARG_OUTPUT_DIRECTORY)
        set(output ${ARG_OUTPUT_DIRECTORY})
    endif()
    if(NOT output)
        set(output ${CMAKE_BINARY_DIR}/lib/weir/plugins-1)
    endif()

    # The self-description and what is made of it.
    set(tool ${WEIR_PLUGIN_CMAKE_DIR}/weir_plugin.py)
    set(generated ${CMAKE_CURRENT_BINARY_DIR}/weir_plugin_${name})
    get_filename_component(manifest ${ARG_MANIFEST} ABSOLUTE)
    set(group_args)
    set(group_files)
    foreach(dir ${ARG_OPTION_GROUPS})
        get_filename_component(dir ${dir} ABSOLUTE)
        list(APPEND group_args --option-groups ${dir})
        file(GLOB found CONFIGURE_DEPENDS ${dir}/options/*.json)
        list(APPEND group_files ${found})
    endforeach()
    set(docs_dir ${CMAKE_BINARY_DIR}/docs/options)
    if(ARG_NO_INSTALL)
        set(docs_dir ${generated})
    endif()
    string(TOLOWER ${CMAKE_SYSTEM_NAME} system)
    set(note_c ${generated}/weir_note_${name}.c)
    set(note_json ${generated}/${name}.note.json)
    set(options_h ${generated}/weir_options_${name}.h)
    set(stamp ${generated}/stamp)
    add_custom_command(
        OUTPUT ${stamp}
        BYPRODUCTS ${note_c} ${note_json} ${options_h} ${docs_dir}/${name}.md
        COMMAND Python3::Interpreter ${tool} generate --manifest ${manifest} --name ${name}
                --out ${generated} --types-header ${types_header}
                --platform ${system}-${CMAKE_SYSTEM_PROCESSOR} ${group_args}
                --docs ${docs_dir}/${name}.md --stamp ${stamp}
        DEPENDS ${manifest} ${tool} ${types_header} ${group_files}
        COMMENT "Describing plugin ${name}"
        VERBATIM)
    # Sources find the header only once it is there; a custom target orders the two, and the note's
    # own file depends on the stamp.
    add_custom_target(plugin_${name}_description DEPENDS ${stamp})
    set_source_files_properties(${note_c} PROPERTIES GENERATED TRUE OBJECT_DEPENDS ${stamp})

    set(target plugin_${name})
    add_library(${target} MODULE ${ARG_SOURCES} ${note_c})
    add_dependencies(${target} plugin_${name}_description)
    set_target_properties(${target} PROPERTIES
        PREFIX "" OUTPUT_NAME ${name} SUFFIX ".so"
        LIBRARY_OUTPUT_DIRECTORY ${output}
        POSITION_INDEPENDENT_CODE ON
        C_VISIBILITY_PRESET hidden
        CXX_VISIBILITY_PRESET hidden
        VISIBILITY_INLINES_HIDDEN ON
        LINK_DEPENDS ${WEIR_PLUGIN_CMAKE_DIR}/weir_plugin.map)
    if(NOT CMAKE_C_STANDARD)
        set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON)
    endif()
    target_include_directories(${target} PRIVATE ${generated})
    if(ARG_HEADERS)
        target_include_directories(${target} BEFORE PRIVATE ${ARG_HEADERS})
    else()
        target_link_libraries(${target} PRIVATE ${headers} ${sdk})
    endif()
    target_link_libraries(${target} PRIVATE ${ARG_LINK})
    if(TARGET weir_flags)
        target_link_libraries(${target} PRIVATE weir_flags)
    endif()
    target_link_options(${target} PRIVATE
        -Wl,--version-script=${WEIR_PLUGIN_CMAKE_DIR}/weir_plugin.map
        -Wl,--exclude-libs,ALL -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
    # The sanitizers' run-time functions stay undefined: the host program brings them.
    if(NOT WEIR_SANITIZE AND NOT "${CMAKE_C_FLAGS} ${CMAKE_MODULE_LINKER_FLAGS}" MATCHES "-fsanitize=")
        target_link_options(${target} PRIVATE -Wl,-z,defs)
    endif()

    set(sidecar ${output}/${name}.plugin.json)
    add_custom_command(TARGET ${target} POST_BUILD
        COMMAND Python3::Interpreter ${tool} sidecar --note ${note_json}
                --so $<TARGET_FILE:${target}> --out ${sidecar}
        BYPRODUCTS ${sidecar}
        VERBATIM)

    if(NOT ARG_NO_INSTALL)
        include(GNUInstallDirs)
        install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/weir/plugins-1
            COMPONENT runtime)
        # The installed file may differ from the built one (its run path is rewritten), and so does
        # its hash: the sidecar is made anew beside it.
        install(CODE "
            set(place \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/weir/plugins-1\")
            execute_process(COMMAND \"${Python3_EXECUTABLE}\" \"${tool}\" sidecar
                --note \"${note_json}\" --so \"\${place}/${name}.so\"
                --out \"\${place}/${name}.plugin.json\" COMMAND_ERROR_IS_FATAL ANY)"
            COMPONENT runtime)
        set_property(GLOBAL APPEND PROPERTY WEIR_DOCUMENTED_PLUGINS plugin_${name}_description)
        if(NOT TARGET docs_options)
            # Copies the generated pages to where they are committed.
            add_custom_target(docs_options
                COMMAND ${CMAKE_COMMAND} -E copy_directory ${CMAKE_BINARY_DIR}/docs/options
                        ${CMAKE_SOURCE_DIR}/docs/reference/options
                VERBATIM)
        endif()
        add_dependencies(docs_options plugin_${name}_description)
    endif()
endfunction()
