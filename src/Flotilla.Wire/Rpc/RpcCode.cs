namespace Flotilla.Wire.Rpc;

/// <summary>The status codes of gRPC, as they stand in the trailer <c>grpc-status</c> (grpc/grpc, doc/statuscodes.md).</summary>
public enum RpcCode
{
    /// <summary>Done.</summary>
    Ok = 0,

    /// <summary>The caller gave up.</summary>
    Cancelled = 1,

    /// <summary>No better word: also what a call without a status counts as.</summary>
    Unknown = 2,

    /// <summary>The request makes no sense, whatever the state of the system.</summary>
    InvalidArgument = 3,

    /// <summary>The time was over. What was asked may have happened all the same.</summary>
    DeadlineExceeded = 4,

    /// <summary>There is no such thing.</summary>
    NotFound = 5,

    /// <summary>It is there already.</summary>
    AlreadyExists = 6,

    /// <summary>The caller may not do this.</summary>
    PermissionDenied = 7,

    /// <summary>Too much: a message over the limit, or too many calls.</summary>
    ResourceExhausted = 8,

    /// <summary>The system is not in the state that the call asks for.</summary>
    FailedPrecondition = 9,

    /// <summary>Given up, mostly for a conflict.</summary>
    Aborted = 10,

    /// <summary>Outside the valid range.</summary>
    OutOfRange = 11,

    /// <summary>There is no such method, or no such way to encode.</summary>
    Unimplemented = 12,

    /// <summary>Something that must not happen did.</summary>
    Internal = 13,

    /// <summary>Not now; another try may help.</summary>
    Unavailable = 14,

    /// <summary>Data is lost.</summary>
    DataLoss = 15,

    /// <summary>The caller did not say who it is.</summary>
    Unauthenticated = 16,
}
