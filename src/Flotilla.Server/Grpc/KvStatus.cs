using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Server.Grpc;

/// <summary>How an answer that is no success looks in gRPC: its status, the stable code of the HTTP API, and words.</summary>
internal static class KvStatus
{
    /// <summary>The request makes no sense.</summary>
    public static RpcStatus BadRequest(string message) => RpcStatus.WithCode(RpcCode.InvalidArgument, "bad_request", message);

    /// <summary>A key or value over the limit.</summary>
    public static RpcStatus TooLarge(string what, int bytes, int max) => RpcStatus.WithCode(RpcCode.InvalidArgument, "too_large", $"The {what} has {bytes} bytes; the limit is {max}. Nothing was written.");

    /// <summary>Too many calls.</summary>
    public static RpcStatus Overloaded { get; } = RpcStatus.WithCode(RpcCode.ResourceExhausted, "overloaded", "Too much is waiting here. Nothing was written; try again later.");

    /// <summary>The status of an answer.</summary>
    public static RpcStatus Of(in Answer answer) => Of(answer.Result.Code, answer.Detail, answer.Result.Version, answer.Leader, answer.LeaderHttp);

    /// <summary>The status of a change that is not done. One that is under way goes on by itself: the same call again tells how it stands.</summary>
    public static RpcStatus Of(ChangeAnswer answer)
    {
        if (answer.Code == ChangeCode.UnderWay)
        {
            var how = string.Join("; ", answer.Shards.Where(static p => p.Code != ChangeCode.Done).Select(static p => $"shard {p.Shard}: {p.Detail}"));
            return RpcStatus.WithCode(RpcCode.DeadlineExceeded, "under_way", $"It is under way, and goes on by itself; call again to learn how it stands ({how}).");
        }

        var kind = Http.Problems.Of(answer.Code);
        var code = kind.Status switch
        {
            400 => RpcCode.InvalidArgument,
            404 => RpcCode.NotFound,
            409 => RpcCode.FailedPrecondition,
            503 => RpcCode.Unavailable,
            _ => RpcCode.Internal,
        };
        var others = string.Join("; ", answer.Shards.Where(static p => p.Code is ChangeCode.Done or ChangeCode.UnderWay).Select(static p => $"shard {p.Shard}: {p.Detail ?? (p.Code == ChangeCode.Done ? "done" : "under way")}"));
        return RpcStatus.WithCode(code, kind.Code, (answer.Detail ?? kind.Detail) + (others.Length > 0 ? $" Elsewhere: {others}." : ""));
    }

    /// <summary>The status of a scan's answer.</summary>
    public static RpcStatus Of(ScanAnswer answer) => Of(answer.Code, answer.Detail, default, answer.Leader, answer.LeaderHttp);

    private static RpcStatus Of(ResultCode result, string? detail, Data.Version version, NodeId leader, string? leaderHttp)
    {
        // NotOwner is a slot between two owners as far as a client can tell. Indeterminate is DEADLINE_EXCEEDED because that is
        // the one status of which gRPC itself says that the call may have succeeded all the same.
        var (code, name, words) = result switch
        {
            ResultCode.NotFound => (RpcCode.NotFound, "not_found", "There is no record under this key."),
            ResultCode.VersionMismatch => (RpcCode.FailedPrecondition, "version_mismatch", "The record is not at the version that the request asked for. Nothing was written."),
            ResultCode.BadRequest => (RpcCode.InvalidArgument, "bad_request", "Not valid for what is there, for example an increment of a value that is no decimal integer. Nothing was written."),
            ResultCode.NotLeader => (RpcCode.FailedPrecondition, "not_leader", "This node does not lead the key's shard and was told not to forward. Nothing was written."),
            ResultCode.ReplicaUnavailable => (RpcCode.Unavailable, "replica_unavailable", "A replica that must hold every write does not answer. Nothing was written."),
            ResultCode.NotOwner or ResultCode.SlotMoving => (RpcCode.Unavailable, "slot_moving", "The key's slot is moving to another shard. Nothing was written; try again."),
            ResultCode.Overloaded => (RpcCode.ResourceExhausted, "overloaded", Overloaded.Message!),
            ResultCode.NoQuorum => (RpcCode.Unavailable, "no_quorum", "No leader was found in time: a majority of the shard's replicas must be up and reach each other. Nothing was written."),
            ResultCode.KeyReused => (RpcCode.InvalidArgument, "bad_request", "The idempotency-key is kept for a write that differs from this one. Nothing was written: a new write needs a new key."),
            ResultCode.KeyExpired => (RpcCode.FailedPrecondition, "key_expired", $"The time until which the idempotency-key was to hold is over, by the shard's own time ({version.Counter} ms since 1970), or further ahead than its life. Nothing was written: send the write again with a later one."),
            ResultCode.Indeterminate or ResultCode.SessionExpired => (RpcCode.DeadlineExceeded, "indeterminate", "The write may have happened, may still happen, or may not: read the key to find out."),
            ResultCode.TooLarge => (RpcCode.InvalidArgument, "too_large", "The key or the value is over the limit. Nothing was written."),
            _ => (RpcCode.Internal, "internal", $"The gateway answered {result}."),
        };
        List<KeyValuePair<string, string>> trailers = [new(RpcStatus.CodeTrailer, name)];
        if (result == ResultCode.VersionMismatch && !version.IsNone)
        {
            trailers.Add(new("flotilla-version", version.ToString()));
        }

        if (result == ResultCode.NotLeader && !leader.IsNone)
        {
            trailers.Add(new("flotilla-leader-node", leader.Value));
            if (leaderHttp is not null)
            {
                trailers.Add(new("flotilla-leader-http", leaderHttp));
            }
        }

        return new RpcStatus(code, detail ?? words, trailers);
    }
}
