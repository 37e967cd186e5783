/* status.c - the text of each status code, and who built the core. */
#include "pygru.h"

const char *pygru_status_text(int status) {
    switch (status) {
#define PYGRU_STATUS(code, name, exception, text)                                              \
    case code:                                                                                 \
        return text;
#include "status.def"
#undef PYGRU_STATUS
    default:
        return "unknown status code";
    }
}

const char *pygru_status_exception(int status) {
    switch (status) {
#define PYGRU_STATUS(code, name, exception, text)                                              \
    case code:                                                                                 \
        return #exception;
#include "status.def"
#undef PYGRU_STATUS
    default:
        return "InternalError";
    }
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *pygru_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "msvc " TEXT(_MSC_VER);
#else
    return "unknown";
#endif
}
