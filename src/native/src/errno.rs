//! Errno names and words: the GNU C library's, first letter in lower case, as Go's `syscall.Errno` prints them.
//!
//! A table of our own, because the words go over the wire and must not depend on the C library or the locale.

/// `(errno, name, words)`, ascending.
const TABLE: &[(i32, &str, &str)] = &[
    (libc::EPERM, "EPERM", "operation not permitted"),
    (libc::ENOENT, "ENOENT", "no such file or directory"),
    (libc::ESRCH, "ESRCH", "no such process"),
    (libc::EINTR, "EINTR", "interrupted system call"),
    (libc::EIO, "EIO", "input/output error"),
    (libc::ENXIO, "ENXIO", "no such device or address"),
    (libc::E2BIG, "E2BIG", "argument list too long"),
    (libc::ENOEXEC, "ENOEXEC", "exec format error"),
    (libc::EBADF, "EBADF", "bad file descriptor"),
    (libc::ECHILD, "ECHILD", "no child processes"),
    (libc::EAGAIN, "EAGAIN", "resource temporarily unavailable"),
    (libc::ENOMEM, "ENOMEM", "cannot allocate memory"),
    (libc::EACCES, "EACCES", "permission denied"),
    (libc::EFAULT, "EFAULT", "bad address"),
    (libc::ENOTBLK, "ENOTBLK", "block device required"),
    (libc::EBUSY, "EBUSY", "device or resource busy"),
    (libc::EEXIST, "EEXIST", "file exists"),
    (libc::EXDEV, "EXDEV", "invalid cross-device link"),
    (libc::ENODEV, "ENODEV", "no such device"),
    (libc::ENOTDIR, "ENOTDIR", "not a directory"),
    (libc::EISDIR, "EISDIR", "is a directory"),
    (libc::EINVAL, "EINVAL", "invalid argument"),
    (libc::ENFILE, "ENFILE", "too many open files in system"),
    (libc::EMFILE, "EMFILE", "too many open files"),
    (libc::ENOTTY, "ENOTTY", "inappropriate ioctl for device"),
    (libc::ETXTBSY, "ETXTBSY", "text file busy"),
    (libc::EFBIG, "EFBIG", "file too large"),
    (libc::ENOSPC, "ENOSPC", "no space left on device"),
    (libc::ESPIPE, "ESPIPE", "illegal seek"),
    (libc::EROFS, "EROFS", "read-only file system"),
    (libc::EMLINK, "EMLINK", "too many links"),
    (libc::EPIPE, "EPIPE", "broken pipe"),
    (libc::EDOM, "EDOM", "numerical argument out of domain"),
    (libc::ERANGE, "ERANGE", "numerical result out of range"),
    (libc::EDEADLK, "EDEADLK", "resource deadlock avoided"),
    (libc::ENAMETOOLONG, "ENAMETOOLONG", "file name too long"),
    (libc::ENOLCK, "ENOLCK", "no locks available"),
    (libc::ENOSYS, "ENOSYS", "function not implemented"),
    (libc::ENOTEMPTY, "ENOTEMPTY", "directory not empty"),
    (libc::ELOOP, "ELOOP", "too many levels of symbolic links"),
    (libc::ENOMSG, "ENOMSG", "no message of desired type"),
    (libc::EIDRM, "EIDRM", "identifier removed"),
    (libc::ECHRNG, "ECHRNG", "channel number out of range"),
    (libc::EL2NSYNC, "EL2NSYNC", "level 2 not synchronized"),
    (libc::EL3HLT, "EL3HLT", "level 3 halted"),
    (libc::EL3RST, "EL3RST", "level 3 reset"),
    (libc::ELNRNG, "ELNRNG", "link number out of range"),
    (libc::EUNATCH, "EUNATCH", "protocol driver not attached"),
    (libc::ENOCSI, "ENOCSI", "no CSI structure available"),
    (libc::EL2HLT, "EL2HLT", "level 2 halted"),
    (libc::EBADE, "EBADE", "invalid exchange"),
    (libc::EBADR, "EBADR", "invalid request descriptor"),
    (libc::EXFULL, "EXFULL", "exchange full"),
    (libc::ENOANO, "ENOANO", "no anode"),
    (libc::EBADRQC, "EBADRQC", "invalid request code"),
    (libc::EBADSLT, "EBADSLT", "invalid slot"),
    (libc::EBFONT, "EBFONT", "bad font file format"),
    (libc::ENOSTR, "ENOSTR", "device not a stream"),
    (libc::ENODATA, "ENODATA", "no data available"),
    (libc::ETIME, "ETIME", "timer expired"),
    (libc::ENOSR, "ENOSR", "out of streams resources"),
    (libc::ENONET, "ENONET", "machine is not on the network"),
    (libc::ENOPKG, "ENOPKG", "package not installed"),
    (libc::EREMOTE, "EREMOTE", "object is remote"),
    (libc::ENOLINK, "ENOLINK", "link has been severed"),
    (libc::EADV, "EADV", "advertise error"),
    (libc::ESRMNT, "ESRMNT", "srmount error"),
    (libc::ECOMM, "ECOMM", "communication error on send"),
    (libc::EPROTO, "EPROTO", "protocol error"),
    (libc::EMULTIHOP, "EMULTIHOP", "multihop attempted"),
    (libc::EDOTDOT, "EDOTDOT", "RFS specific error"),
    (libc::EBADMSG, "EBADMSG", "bad message"),
    (
        libc::EOVERFLOW,
        "EOVERFLOW",
        "value too large for defined data type",
    ),
    (libc::ENOTUNIQ, "ENOTUNIQ", "name not unique on network"),
    (libc::EBADFD, "EBADFD", "file descriptor in bad state"),
    (libc::EREMCHG, "EREMCHG", "remote address changed"),
    (libc::ELIBACC, "ELIBACC", "can not access a needed shared library"),
    (libc::ELIBBAD, "ELIBBAD", "accessing a corrupted shared library"),
    (libc::ELIBSCN, "ELIBSCN", ".lib section in a.out corrupted"),
    (
        libc::ELIBMAX,
        "ELIBMAX",
        "attempting to link in too many shared libraries",
    ),
    (
        libc::ELIBEXEC,
        "ELIBEXEC",
        "cannot exec a shared library directly",
    ),
    (
        libc::EILSEQ,
        "EILSEQ",
        "invalid or incomplete multibyte or wide character",
    ),
    (
        libc::ERESTART,
        "ERESTART",
        "interrupted system call should be restarted",
    ),
    (libc::ESTRPIPE, "ESTRPIPE", "streams pipe error"),
    (libc::EUSERS, "EUSERS", "too many users"),
    (libc::ENOTSOCK, "ENOTSOCK", "socket operation on non-socket"),
    (libc::EDESTADDRREQ, "EDESTADDRREQ", "destination address required"),
    (libc::EMSGSIZE, "EMSGSIZE", "message too long"),
    (libc::EPROTOTYPE, "EPROTOTYPE", "protocol wrong type for socket"),
    (libc::ENOPROTOOPT, "ENOPROTOOPT", "protocol not available"),
    (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT", "protocol not supported"),
    (
        libc::ESOCKTNOSUPPORT,
        "ESOCKTNOSUPPORT",
        "socket type not supported",
    ),
    (libc::EOPNOTSUPP, "EOPNOTSUPP", "operation not supported"),
    (
        libc::EPFNOSUPPORT,
        "EPFNOSUPPORT",
        "protocol family not supported",
    ),
    (
        libc::EAFNOSUPPORT,
        "EAFNOSUPPORT",
        "address family not supported by protocol",
    ),
    (libc::EADDRINUSE, "EADDRINUSE", "address already in use"),
    (
        libc::EADDRNOTAVAIL,
        "EADDRNOTAVAIL",
        "cannot assign requested address",
    ),
    (libc::ENETDOWN, "ENETDOWN", "network is down"),
    (libc::ENETUNREACH, "ENETUNREACH", "network is unreachable"),
    (
        libc::ENETRESET,
        "ENETRESET",
        "network dropped connection on reset",
    ),
    (
        libc::ECONNABORTED,
        "ECONNABORTED",
        "software caused connection abort",
    ),
    (libc::ECONNRESET, "ECONNRESET", "connection reset by peer"),
    (libc::ENOBUFS, "ENOBUFS", "no buffer space available"),
    (
        libc::EISCONN,
        "EISCONN",
        "transport endpoint is already connected",
    ),
    (libc::ENOTCONN, "ENOTCONN", "transport endpoint is not connected"),
    (
        libc::ESHUTDOWN,
        "ESHUTDOWN",
        "cannot send after transport endpoint shutdown",
    ),
    (
        libc::ETOOMANYREFS,
        "ETOOMANYREFS",
        "too many references: cannot splice",
    ),
    (libc::ETIMEDOUT, "ETIMEDOUT", "connection timed out"),
    (libc::ECONNREFUSED, "ECONNREFUSED", "connection refused"),
    (libc::EHOSTDOWN, "EHOSTDOWN", "host is down"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH", "no route to host"),
    (libc::EALREADY, "EALREADY", "operation already in progress"),
    (libc::EINPROGRESS, "EINPROGRESS", "operation now in progress"),
    (libc::ESTALE, "ESTALE", "stale file handle"),
    (libc::EUCLEAN, "EUCLEAN", "structure needs cleaning"),
    (libc::ENOTNAM, "ENOTNAM", "not a XENIX named type file"),
    (libc::ENAVAIL, "ENAVAIL", "no XENIX semaphores available"),
    (libc::EISNAM, "EISNAM", "is a named type file"),
    (libc::EREMOTEIO, "EREMOTEIO", "remote I/O error"),
    (libc::EDQUOT, "EDQUOT", "disk quota exceeded"),
    (libc::ENOMEDIUM, "ENOMEDIUM", "no medium found"),
    (libc::EMEDIUMTYPE, "EMEDIUMTYPE", "wrong medium type"),
    (libc::ECANCELED, "ECANCELED", "operation canceled"),
    (libc::ENOKEY, "ENOKEY", "required key not available"),
    (libc::EKEYEXPIRED, "EKEYEXPIRED", "key has expired"),
    (libc::EKEYREVOKED, "EKEYREVOKED", "key has been revoked"),
    (libc::EKEYREJECTED, "EKEYREJECTED", "key was rejected by service"),
    (libc::EOWNERDEAD, "EOWNERDEAD", "owner died"),
    (libc::ENOTRECOVERABLE, "ENOTRECOVERABLE", "state not recoverable"),
    (libc::ERFKILL, "ERFKILL", "operation not possible due to RF-kill"),
    (libc::EHWPOISON, "EHWPOISON", "memory page has hardware error"),
];

fn find(errno: i32) -> Option<&'static (i32, &'static str, &'static str)> {
    TABLE
        .binary_search_by_key(&errno, |row| row.0)
        .ok()
        .map(|at| &TABLE[at])
}

/// Words of a positive errno; `errno 999` when there are none.
pub fn text(errno: i32) -> String {
    find(errno).map_or_else(|| format!("errno {errno}"), |row| row.2.to_string())
}

/// Name of a positive errno; `E999` when there is none.
pub fn name(errno: i32) -> String {
    find(errno).map_or_else(|| format!("E{errno}"), |row| row.1.to_string())
}

/// The calling thread's errno.
pub fn last() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ascending() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn words_and_names_are_the_ones_of_the_wire() {
        assert_eq!(text(libc::EIO), "input/output error");
        assert_eq!(text(libc::ENOSPC), "no space left on device");
        assert_eq!(text(libc::EEXIST), "file exists");
        assert_eq!(text(libc::EROFS), "read-only file system");
        assert_eq!(text(libc::ENOENT), "no such file or directory");
        assert_eq!(text(libc::ENXIO), "no such device or address");
        assert_eq!(text(libc::EDOTDOT), "RFS specific error");
        assert_eq!(text(999), "errno 999");
        assert_eq!(name(libc::ENOSPC), "ENOSPC");
        assert_eq!(name(libc::EAGAIN), "EAGAIN");
        assert_eq!(name(999), "E999");
    }
}
