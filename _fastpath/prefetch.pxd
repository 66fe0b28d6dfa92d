# A cache line asked for before it is read.


cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define fastpath_prefetch(address) __builtin_prefetch(address)
    #else
    #define fastpath_prefetch(address) ((void)(address))
    #endif
    """
    void prefetch "fastpath_prefetch"(const void* address) noexcept nogil
