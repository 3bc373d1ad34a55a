using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Topology;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node;

/// <summary>What the shell logs. Event ids are stable: 2000 the node, 2100 its peers, 2200 its replicas.</summary>
internal static partial class NodeLog
{
    [LoggerMessage(EventId = 2000, Level = LogLevel.Information, Message = "Node {Node} of cluster {ClusterId:x16} starts: boot {Boot}, {Replicas} replicas on {Loops} shard loops.")]
    public static partial void NodeStarts(this ILogger log, NodeId node, ulong clusterId, ulong boot, int replicas, int loops);

    [LoggerMessage(EventId = 2001, Level = LogLevel.Information, Message = "Node {Node} has stopped; everything it acknowledged is durable.")]
    public static partial void NodeStopped(this ILogger log, NodeId node);

    [LoggerMessage(EventId = 2002, Level = LogLevel.Critical, Message = "Node {Node} can't go on and stops at once. {Reason}")]
    public static partial void NodeFailed(this ILogger log, NodeId node, string reason);

    [LoggerMessage(EventId = 2003, Level = LogLevel.Warning, Message = "No node has told this router about the cluster yet, so it answers no_quorum: {Reason}. It keeps asking; check that one of {Nodes} runs and serves HTTP.")]
    public static partial void RouterKnowsNothing(this ILogger log, string reason, string nodes);

    [LoggerMessage(EventId = 2004, Level = LogLevel.Information, Message = "Router {Router} serves cluster {ClusterId:x16}: {Shards} shards on {Nodes} nodes.")]
    public static partial void RouterLearned(this ILogger log, NodeId router, ulong clusterId, int shards, int nodes);

    [LoggerMessage(EventId = 2005, Level = LogLevel.Error, Message = "Only {Free} bytes are free where the log lies, less than the reserve of {Reserve}: this node hands leadership over and takes no new writes (clients get overloaded), so that its log is never cut short. Free space or give it a larger disk; it goes on by itself.")]
    public static partial void DiskLow(this ILogger log, long free, long reserve);

    [LoggerMessage(EventId = 2006, Level = LogLevel.Information, Message = "There is room again where the log lies ({Free} bytes free): this node takes writes.")]
    public static partial void DiskRecovered(this ILogger log, long free);

    [LoggerMessage(EventId = 2007, Level = LogLevel.Warning, Message = "Node {Node} waits to join the cluster of {Contact} and serves nothing yet: {Reason}. It asks again until it is answered; start that node, or give the address of another one with {Flag}, or add it at any member.")]
    public static partial void CannotJoin(this ILogger log, NodeId node, string contact, string reason, string flag);

    [LoggerMessage(EventId = 2008, Level = LogLevel.Error, Message = "Only {Free} bytes are free where the log lies, less than {Floor}: replicas here keep no new entries and take no snapshots, and fall behind. They vote, and answer reads from what they have. Free space or give the node a larger disk; it catches up by itself.")]
    public static partial void DiskFull(this ILogger log, long free, long floor);

    [LoggerMessage(EventId = 2009, Level = LogLevel.Information, Message = "There is some room again where the log lies ({Free} bytes free): replicas here keep new entries and catch up.")]
    public static partial void DiskKeepsAgain(this ILogger log, long free);

    [LoggerMessage(EventId = 2100, Level = LogLevel.Information, Message = "Connected with {Peer} (boot {Boot}).")]
    public static partial void PeerUp(this ILogger log, NodeId peer, ulong boot);

    [LoggerMessage(EventId = 2101, Level = LogLevel.Warning, Message = "The connection with {Peer} has ended: {Reason}. Shards go on while a majority of their voters is connected; it is dialled again until it answers.")]
    public static partial void PeerDown(this ILogger log, NodeId peer, string reason);

    [LoggerMessage(EventId = 2102, Level = LogLevel.Warning, Message = "Can't reach {Peer} at {Address}: {Reason}. Dialling goes on; start that node, or check its address.")]
    public static partial void CannotReachPeer(this ILogger log, NodeId peer, string address, string reason);

    [LoggerMessage(EventId = 2103, Level = LogLevel.Warning, Message = "Refused a connection from {Remote}: {Reason}.")]
    public static partial void RefusedPeer(this ILogger log, string remote, string reason);

    [LoggerMessage(EventId = 2104, Level = LogLevel.Warning, Message = "The process of {Peer} is gone (its connection closed and a new one was refused): shards that it led elect another leader at once.")]
    public static partial void PeerGone(this ILogger log, NodeId peer);

    [LoggerMessage(EventId = 2105, Level = LogLevel.Warning, Message = "Nothing was heard from {Peer} for {Ms} ms: its connection is cut and dialled anew. It may be stopped, overloaded or cut off.")]
    public static partial void PeerSilent(this ILogger log, NodeId peer, long ms);

    [LoggerMessage(EventId = 2200, Level = LogLevel.Information, Message = "Shard {Shard}: this node is {Role} in term {Term}, leader {Leader}.")]
    public static partial void RoleChanged(this ILogger log, ShardId shard, Role role, ulong term, NodeId leader);

    [LoggerMessage(EventId = 2202, Level = LogLevel.Information, Message = "Shard {Shard}: {First} is meant to lead it first, and has been alive and caught up for a while: it is asked to lead again.")]
    public static partial void SpreadsLeaders(this ILogger log, ShardId shard, NodeId first);

    [LoggerMessage(EventId = 2203, Level = LogLevel.Information, Message = "Shard {Shard}: its members are now {Configuration} (a learner has ?, one being added +, one being removed -).")]
    public static partial void MembersChanged(this ILogger log, ShardId shard, Configuration configuration);

    [LoggerMessage(EventId = 2204, Level = LogLevel.Information, Message = "Shard {Shard}: {Leader} has a seat for this node, which hosts a replica from now on.")]
    public static partial void BeginsToHost(this ILogger log, ShardId shard, NodeId leader);

    [LoggerMessage(EventId = 2205, Level = LogLevel.Information, Message = "Shard {Shard}: it has fewer than the {Target} replicas that it is meant to have, so {Node} gets a seat, as a learner first.")]
    public static partial void FillsSeat(this ILogger log, ShardId shard, NodeId node, int target);

    [LoggerMessage(EventId = 2201, Level = LogLevel.Warning, Message = "Shard {Shard}: another data directory holds this node's seat, so this replica neither votes nor acknowledges (the directory was wiped or replaced). The shard goes on with its other voters; put the old directory back, or take the seat from it, so that this one can be given it: flotilla remove-node, with this node's name.")]
    public static partial void SeatIsTaken(this ILogger log, ShardId shard);

    [LoggerMessage(EventId = 2300, Level = LogLevel.Information, Message = "Shard {Shard}: took a snapshot of everything up to entry {Index} ({Bytes} bytes, in {Took}); the log before it goes.")]
    public static partial void SnapshotTaken(this ILogger log, ShardId shard, ulong index, long bytes, TimeSpan took);

    [LoggerMessage(EventId = 2301, Level = LogLevel.Warning, Message = "Shard {Shard}: a snapshot could not be written: {Reason} The log keeps growing meanwhile; it is tried again in a while. Check the disk and its free space.")]
    public static partial void SnapshotFailed(this ILogger log, ShardId shard, string reason);

    [LoggerMessage(EventId = 2302, Level = LogLevel.Warning, Message = "Shard {Shard}: its snapshot could not be read for {Peer}: {Reason} It is tried again.")]
    public static partial void SnapshotUnreadable(this ILogger log, ShardId shard, NodeId peer, string reason);

    [LoggerMessage(EventId = 2303, Level = LogLevel.Warning, Message = "Shard {Shard}: a snapshot that the leader sends could not be stored: {Reason} It is asked for again from its beginning. This replica stays behind until it succeeds.")]
    public static partial void SnapshotNotStored(this ILogger log, ShardId shard, string reason);

    [LoggerMessage(EventId = 2304, Level = LogLevel.Information, Message = "Shard {Shard}: installed the leader's snapshot of everything up to entry {Index} ({Bytes} bytes).")]
    public static partial void SnapshotReceived(this ILogger log, ShardId shard, ulong index, long bytes);

    [LoggerMessage(EventId = 2406, Level = LogLevel.Information, Message = "Shard {Shard} is born here, empty (group {Group}).")]
    public static partial void ShardIsBorn(this ILogger log, ShardId shard, ulong group);

    [LoggerMessage(EventId = 2410, Level = LogLevel.Information, Message = "Shard {Shard} is retired: its replica here ends and its data are removed (group {Group}).")]
    public static partial void RetiredShardIsRemoved(this ILogger log, ShardId shard, ulong group);

    [LoggerMessage(EventId = 2407, Level = LogLevel.Information, Message = "Shard {Shard}: it is {State} from now on.")]
    public static partial void ShardStateChanged(this ILogger log, ShardId shard, string state);

    [LoggerMessage(EventId = 2408, Level = LogLevel.Warning, Message = "Shard {Shard}: node {Node} has no replica of it yet: {Reason}.")]
    public static partial void OwnShardWaits(this ILogger log, ShardId shard, NodeId node, string reason);

    [LoggerMessage(EventId = 2411, Level = LogLevel.Warning, Message = "This node does not get its shards of --shards-per-node yet: {Reason} It is tried again.")]
    public static partial void NodeGetsNoShard(this ILogger log, string reason);

    [LoggerMessage(EventId = 2400, Level = LogLevel.Error, Message = "Two groups go by the number of shard {Shard}: it was born at two nodes at once, or two clusters were mixed. Neither takes part in a move. One that owns no slots retires by itself; if both own some, both go on, and the warnings of flotilla status name them.")]
    public static partial void ShardIsDoubled(this ILogger log, ShardId shard);

    [LoggerMessage(EventId = 2409, Level = LogLevel.Error, Message = "Shard {Shard}: another group goes by its number, so this one (group {Group}), which owns no slots, retires. Whoever asked for it finds the other one; to add one more, give it another number.")]
    public static partial void SecondBirthRetires(this ILogger log, ShardId shard, ulong group);

    [LoggerMessage(EventId = 2401, Level = LogLevel.Information, Message = "Node {Node} hears of itself what it did not say (data directory {Incarnation}, RPC {Rpc}), and says again where it is. Once is nothing: this directory was wiped, or the node was thought gone. Again and again means that two processes go by this name.")]
    public static partial void HeardOfItself(this ILogger log, NodeId node, ulong incarnation, string rpc);

    [LoggerMessage(EventId = 2402, Level = LogLevel.Error, Message = "More shards or nodes were heard of than a topology keeps (16384 of each): the newest are not known here.")]
    public static partial void TopologyIsFull(this ILogger log);

    [LoggerMessage(EventId = 2403, Level = LogLevel.Warning, Message = "Gossip from {Peer} was passed over: {Reason}. What is missing by it is asked for again. If this goes on, that node runs another release, or its memory is at fault.")]
    public static partial void GossipRefused(this ILogger log, NodeId peer, string reason);

    [LoggerMessage(EventId = 2404, Level = LogLevel.Warning, Message = "What gossip knows could not be kept on disk: {Reason} Nothing is lost but a second after the next start. Check the disk and its free space.")]
    public static partial void TopologyNotKept(this ILogger log, string reason);

    [LoggerMessage(EventId = 2405, Level = LogLevel.Warning, Message = "What gossip knew before the last stop is passed over: {Reason}. It is learned again from the other nodes.")]
    public static partial void TopologyPassedOver(this ILogger log, string reason);

    [LoggerMessage(EventId = 2500, Level = LogLevel.Error, Message = "A watch met a defect as it read the events of shard {Shard}; its client was told to go on elsewhere. Please report it with this line.")]
    public static partial void WatchBroke(this ILogger log, ShardId shard, Exception exception);
}
