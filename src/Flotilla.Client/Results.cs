using System.Text;
using Flotilla.Contracts.Http;

namespace Flotilla.Client;

/// <summary>How a call ended. All but <see cref="Unknown"/> are definite.</summary>
public enum CallOutcome
{
    /// <summary>Done.</summary>
    Ok,

    /// <summary>There is no such record.</summary>
    NotFound,

    /// <summary>The condition did not hold; nothing was written.</summary>
    VersionMismatch,

    /// <summary>Refused for good (a bad key, a value too large …); nothing was written.</summary>
    Failed,

    /// <summary>No endpoint could serve it before the deadline; nothing was written.</summary>
    Unavailable,

    /// <summary>A write that may or may not have happened, or may still happen, but not twice. Never the end of a read.</summary>
    Unknown,
}

/// <summary>What went wrong.</summary>
/// <param name="Code">The server's stable code (<c>no_quorum</c> …), or one of the client's own: <c>unreachable</c>, <c>timeout</c>, <c>broken_connection</c>, <c>interrupted</c>, <c>bad_answer</c>.</param>
/// <param name="Message">For people: what happened.</param>
/// <param name="Status">The HTTP status, or 0 if there was no answer.</param>
public sealed record CallError(string Code, string Message, int Status)
{
    /// <summary>Of a change of the cluster that was refused: how it stands in each shard, as far as the server said. What is done or under way in some stays so.</summary>
    public IReadOnlyList<ShardChangeDocument> Shards { get; init; } = [];
}

/// <summary>The end of a write.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Version">The record's new version; for a mismatch what is there, if the server says so; null otherwise.</param>
/// <param name="Error">Null for <see cref="CallOutcome.Ok"/>.</param>
public readonly record struct WriteResult(CallOutcome Outcome, string? Version, CallError? Error);

/// <summary>The end of a get.</summary>
/// <param name="Outcome">How it ended; never <see cref="CallOutcome.Unknown"/>.</param>
/// <param name="Value">The value's bytes, the caller's own; empty unless <see cref="CallOutcome.Ok"/>.</param>
/// <param name="Version">The record's version, or null.</param>
/// <param name="Error">Null for <see cref="CallOutcome.Ok"/>.</param>
public readonly record struct GetResult(CallOutcome Outcome, ReadOnlyMemory<byte> Value, string? Version, CallError? Error);

/// <summary>The end of a read of a document.</summary>
/// <param name="Outcome">How it ended; never <see cref="CallOutcome.Unknown"/>.</param>
/// <param name="Document">The document, if <see cref="CallOutcome.Ok"/>.</param>
/// <param name="Error">Null for <see cref="CallOutcome.Ok"/>.</param>
public readonly record struct DocumentResult<T>(CallOutcome Outcome, T? Document, CallError? Error)
    where T : class;

/// <summary>The end of an increment.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Value">The new number, if <see cref="CallOutcome.Ok"/>.</param>
/// <param name="Error">Null for <see cref="CallOutcome.Ok"/>.</param>
public readonly record struct IncrementResult(CallOutcome Outcome, long Value, CallError? Error);

/// <summary>Conditions and life time of a write.</summary>
public sealed record PutOptions
{
    /// <summary>Write only over exactly this version, or null.</summary>
    public string? IfVersion { get; init; }

    /// <summary>Write only if there is no record.</summary>
    public bool IfAbsent { get; init; }

    /// <summary>The record is gone after this time, or null for never.</summary>
    public TimeSpan? TimeToLive { get; init; }
}

/// <summary>Keys and values of listings, which come as text or as base64, as bytes.</summary>
public static class RecordBytes
{
    /// <summary>The key's bytes.</summary>
    public static byte[] KeyOf(RecordDocument record)
    {
        ArgumentNullException.ThrowIfNull(record);
        return record.KeyBase64 is { } base64 ? Convert.FromBase64String(base64) : Encoding.UTF8.GetBytes(record.Key ?? "");
    }

    /// <summary>The value's bytes.</summary>
    public static byte[] ValueOf(RecordDocument record)
    {
        ArgumentNullException.ThrowIfNull(record);
        return record.ValueBase64 is { } base64 ? Convert.FromBase64String(base64) : Encoding.UTF8.GetBytes(record.Value ?? "");
    }
}
