using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Image;
using Flotilla.Topology;

namespace Flotilla.Node;

/// <summary>What a door calls to back shards up. Thread-safe.</summary>
public interface IBackups
{
    /// <summary>
    /// The state of a shard from the replica on this node, leader or follower: every write acknowledged before the call is in
    /// it. The writes after it go on meanwhile. Never throws for an outcome that a client can meet.
    /// </summary>
    ValueTask<BackupAnswer> TakeAsync(ShardId shard);
}

/// <summary>A shard's state, or why there is none.</summary>
/// <param name="Code">Ok; NotLeader if this node has no replica that could answer; BadRequest if there is no such shard; NoQuorum, Overloaded.</param>
/// <param name="ClusterId">The cluster.</param>
/// <param name="Image">The state; null unless Ok. It keeps the memory of what it shows: let go of it when it is written.</param>
/// <param name="Leader">Who leads the shard, as far as known.</param>
/// <param name="LeaderHttp">The leader's HTTP address, or null.</param>
/// <param name="Detail">For an error: what happened in words a user understands, or null.</param>
public sealed record BackupAnswer(ResultCode Code, ulong ClusterId, StateImage? Image, NodeId Leader, string? LeaderHttp, string? Detail);
