using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Shards;
using Flotilla.Wire.Peers;

namespace Flotilla.Server.Http;

/// <summary>A kind of failure: its status, its stable code, and its title.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Code">The stable code (DESIGN section 9).</param>
/// <param name="Title">What it means in general.</param>
/// <param name="Detail">What to say when nobody knows better.</param>
/// <param name="RetryAfter">True: the answer says when to try again.</param>
internal sealed record ProblemKind(int Status, string Code, string Title, string Detail, bool RetryAfter = false)
{
    /// <summary>The problem's type: a name, not an address to fetch.</summary>
    public string Type { get; } = "urn:flotilla:problem:" + Code;
}

/// <summary>All problems that the HTTP door answers with.</summary>
internal static class Problems
{
    public static ProblemKind BadRequest { get; } = new(400, "bad_request", "The request makes no sense", "The request is not valid for what is there, for example an increment of a value that is no decimal integer. Nothing was written.");

    public static ProblemKind KeyReused { get; } = new(400, "bad_request", "The Idempotency-Key was used for another request", "The shard keeps this Idempotency-Key for a write that differs from this one in its method, key, value, condition, time to live or increment. Nothing was written: a new write needs a new key.");

    public static ProblemKind KeyExpired { get; } = new(409, "key_expired", "The Idempotency-Key has ended", "The time until which the Idempotency-Key was to hold is over, by the shard's own time, or further ahead than its life. Nothing was written: send the write again with a later one, reckoned from logTimeMs.");

    public static ProblemKind NotFound { get; } = new(404, "not_found", "No such record", "There is no record under this key.");

    public static ProblemKind UnknownRoute { get; } = new(404, "unknown_route", "No such route", "See /openapi/v1.json.");

    public static ProblemKind MethodNotAllowed { get; } = new(405, "method_not_allowed", "The route does not take this method", "See the Allow header.");

    public static ProblemKind NotLeader { get; } = new(409, "not_leader", "Another node leads the shard", "This node does not lead the key's shard and was told not to forward; ask the leader, or send ?forward=true. Nothing was written.");

    public static ProblemKind SeatTaken { get; } = new(409, "seat_taken", "Another data directory has the seat", "Take the seat away first: flotilla remove-node. Nothing was changed.");

    public static ProblemKind WrongNode { get; } = new(409, "wrong_node", "Another node answers at the address", "Check the node's name and its RPC address. Nothing was changed.");

    public static ProblemKind OtherCluster { get; } = new(409, "other_cluster", "The node belongs to another cluster", "It can enter this one only with an empty data directory. Nothing was changed.");

    public static ProblemKind OtherShard { get; } = new(409, "other_shard", "The node is a process of another shard", "A process of one shard gets no seat in another. Nothing was changed.");

    public static ProblemKind LastVoter { get; } = new(409, "last_voter", "The last voter stays", "A shard needs a voter. Nothing was changed.");

    public static ProblemKind TooManyMembers { get; } = new(409, "too_many_members", "The shard is full", "Remove a member first. Nothing was changed.");

    public static ProblemKind ChangeUnderWay { get; } = new(503, "change_under_way", "Another change is under way", "Changes of a shard's members go one at a time. Nothing was changed; try again.", RetryAfter: true);

    public static ProblemKind ReplicaUnavailable { get; } = new(503, "replica_unavailable", "A node that is needed can't be reached", "Start the node, or check its address. Nothing was changed.", RetryAfter: true);

    public static ProblemKind UnknownNode { get; } = new(404, "not_found", "No such node or shard", "Nothing was changed.");

    public static ProblemKind Compacted { get; } = new(410, "compacted", "The cursor is too old", "The events behind the cursor are not kept any more. Read the records anew, and watch from now.");

    public static ProblemKind VersionMismatch { get; } = new(412, "version_mismatch", "The condition did not hold", "The record is not at the version that the request asked for. Nothing was written.");

    public static ProblemKind CrossShard { get; } = new(400, "cross_shard", "The keys are of several shards", "Keys that are used together must share a shard: give them the same hash tag, like {user1}name and {user1}mail. Nothing was read or written.");

    public static ProblemKind TooLarge { get; } = new(413, "too_large", "Over the limit", "The key or the value is over the limit. Nothing was written.");

    public static ProblemKind Overloaded { get; } = new(429, "overloaded", "No more is taken at this moment", "Too much is waiting here. Nothing was written; try again later.", RetryAfter: true);

    public static ProblemKind Internal { get; } = new(500, "internal", "Something broke", "The request met a defect; the node's log says which. A write may or may not have happened.");

    public static ProblemKind NotImplemented { get; } = new(501, "not_implemented", "Not in this build", "This build does not have it yet. Nothing was changed.");

    public static ProblemKind NoQuorum { get; } = new(503, "no_quorum", "The shard has no leader", "No leader was found in time: a majority of the shard's replicas must be up and reach each other. Nothing was written.", RetryAfter: true);

    public static ProblemKind NotJoined { get; } = new(503, "not_joined", "This node belongs to no cluster yet", "Add it at any node of a cluster: flotilla add-node.", RetryAfter: true);

    public static ProblemKind ReplicaSilent { get; } = new(503, "replica_unavailable", "A replica that must hold every write does not answer", "In the modes sync and chain a write must be on every replica in sync, and one does not answer. Nothing was written. Start it, wait until it is taken out of the in-sync set (--heal-after), or switch to mode raft.", RetryAfter: true);

    public static ProblemKind SlotMoving { get; } = new(503, "slot_moving", "The key's slot is on its way", "The key's slot is moving to another shard. Nothing was written; try again.", RetryAfter: true);

    public static ProblemKind Indeterminate { get; } = new(504, "indeterminate", "The outcome is unknown", "The write may have happened, may still happen, or may not: read the key to find out.");

    /// <summary>The problem of a result. NotOwner is a slot between two owners as far as a client can tell: nothing was written, and another try finds the owner.</summary>
    public static ProblemKind Of(ResultCode code) => code switch
    {
        ResultCode.NotFound => NotFound,
        ResultCode.VersionMismatch => VersionMismatch,
        ResultCode.BadRequest => BadRequest,
        ResultCode.NotLeader => NotLeader,
        ResultCode.NotOwner or ResultCode.SlotMoving => SlotMoving,
        ResultCode.Overloaded => Overloaded,
        ResultCode.NoQuorum => NoQuorum,
        ResultCode.ReplicaUnavailable => ReplicaSilent,
        ResultCode.Indeterminate => Indeterminate,

        // The gateway gives none of these away. If it did, an earlier attempt might have been executed.
        ResultCode.SessionExpired => Indeterminate,
        ResultCode.KeyReused => KeyReused,
        ResultCode.KeyExpired => KeyExpired,
        ResultCode.TooLarge => TooLarge,
        ResultCode.CrossShard => CrossShard,
        _ => Internal,
    };

    /// <summary>The problem of a change that was refused.</summary>
    public static ProblemKind Of(ChangeCode code) => code switch
    {
        ChangeCode.NotLeader or ChangeCode.NotReady => NoQuorum,
        ChangeCode.Busy => ChangeUnderWay,
        ChangeCode.SeatIsTaken => SeatTaken,
        ChangeCode.WrongNode => WrongNode,
        ChangeCode.OtherCluster => OtherCluster,
        ChangeCode.OtherShard => OtherShard,
        ChangeCode.LastVoter => LastVoter,
        ChangeCode.TooManyMembers => TooManyMembers,
        ChangeCode.Unreachable or ChangeCode.WouldStop => ReplicaUnavailable,
        ChangeCode.Unknown => UnknownNode,
        ChangeCode.Refused => BadRequest,
        _ => Internal,
    };

    /// <summary>The document of a problem.</summary>
    public static Problem Document(ProblemKind kind, string? detail, LeaderHint? leader = null, string? version = null) =>
        new(kind.Type, kind.Title, kind.Status, detail ?? kind.Detail, kind.Code, leader, version);

    /// <summary>The document of an answer that is no success.</summary>
    public static Problem Document(ProblemKind kind, in Answer answer)
    {
        var leader = kind == NotLeader ? new LeaderHint(answer.Leader.Value, answer.LeaderHttp) : null;
        var version = kind == VersionMismatch && !answer.Result.Version.IsNone ? answer.Result.Version.ToString() : null;
        var document = Document(kind, answer.Detail, leader, version);
        return kind == KeyExpired ? document with { LogTimeMs = (long)answer.Result.Version.Counter } : document;
    }
}
