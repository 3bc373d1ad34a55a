using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;
using Flotilla.Topology;

namespace Flotilla.Node.Gateways;

/// <summary>What a client wants, whichever door it came through.</summary>
/// <param name="Kind">A write, a get or a page.</param>
/// <param name="Command">The write, or the opening or closing of a session; for a get only its key counts.</param>
/// <param name="Page">The page wanted.</param>
/// <param name="Shard">The shard to ask; default for the one that the key belongs to.</param>
/// <param name="Stale">Any replica's applied state will do.</param>
/// <param name="Forward">Ask other nodes too.</param>
/// <param name="Deadline">When the answer is due.</param>
internal readonly record struct Ask(CallKind Kind, Command Command, ScanRequest Page, ShardId Shard, bool Stale, bool Forward, Instant Deadline)
{
    /// <summary>It may change something.</summary>
    public bool IsWrite => Kind == CallKind.Command;
}

/// <summary>How an <see cref="Ask"/>, or one attempt at it, ended.</summary>
/// <param name="Result">The answer to a write or a get; for a page that failed, its code.</param>
/// <param name="Page">The page.</param>
/// <param name="Leader">Who leads, as far as known to whoever answered.</param>
/// <param name="Detail">For an error: what happened, in words a user understands.</param>
internal readonly record struct Outcome(CommandResult Result, ScanPage? Page, NodeId Leader, string? Detail)
{
    /// <summary>How it ended.</summary>
    public ResultCode Code => Page?.Code ?? Result.Code;

    /// <summary>Only a code, with words.</summary>
    public static Outcome Of(ResultCode code, string? detail, NodeId leader = default) => new(CommandResult.Of(code), null, leader, detail);

    /// <summary>Nothing was written, and another attempt may do better. What may be in a log is never one of these.</summary>
    public bool MayTryAgain => Code is ResultCode.NotLeader or ResultCode.NotOwner or ResultCode.NoQuorum or ResultCode.SlotMoving;

    /// <summary>What executing the write came to, now or in an earlier attempt; all else speaks of one attempt only.</summary>
    public bool IsResult => Code is ResultCode.Ok or ResultCode.NotFound or ResultCode.VersionMismatch or ResultCode.BadRequest or ResultCode.KeyReused;
}
