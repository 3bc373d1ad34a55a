using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Wire.Peers;

/// <summary>
/// A batch for all shards that one node sends another at once. Made to be filled, written and cleared over and over; the
/// lists are for one thread at a time.
/// </summary>
public sealed class PeerFrame
{
    /// <summary>
    /// The version of the protocol spoken here. A peer with another one is refused. 2: commands carry how they take effect
    /// once; a peer that passed over that would execute retries twice. 3: descriptors are gossiped. 4: idempotency
    /// keys may come with an end, which a peer must not pass over for the same reason as 2. 5: slots
    /// move between shards. 6: groups go quiet, and heartbeats of nodes stand in. 7: entries are passed on; a peer that passed over whose
    /// words they are would take whoever carries them for the leader. 8: several keys are read together; a peer that passed over them would
    /// answer with others.
    /// </summary>
    public const uint ProtocolVersion = 8;

    /// <summary>A node has fewer loops than this.</summary>
    public const uint MaxLoops = 1024;

    /// <summary>The longest message of gossip, in bytes.</summary>
    public const int MaxGossipBytes = 1 << 20;

    /// <summary>Which cluster the sender belongs to; a frame of another one is not for us. 0 for a node that has none yet.</summary>
    public ulong ClusterId { get; set; }

    /// <summary>Who speaks: on the first frame of each direction, and on no other.</summary>
    public Hello? Hello { get; set; }

    /// <summary>Messages between replicas, in the order in which they were sent.</summary>
    public List<PeerEnvelope> Messages { get; } = [];

    /// <summary>Clients' calls, forwarded.</summary>
    public List<CallRequest> Requests { get; } = [];

    /// <summary>Answers to forwarded calls.</summary>
    public List<CallReply> Replies { get; } = [];

    /// <summary>Messages of gossip, sealed; at most <see cref="MaxGossipBytes"/> each.</summary>
    public List<ReadOnlyMemory<byte>> Gossip { get; } = [];

    /// <summary>About moves of slots, between shards' leaders.</summary>
    public List<HandoffEnvelope> Handoffs { get; } = [];

    /// <summary>The sender's loops whose heartbeats these are (<see cref="Raft.Quiet.Pulse.Loop"/>); below <see cref="MaxLoops"/>.</summary>
    public List<uint> Heartbeats { get; } = [];

    /// <summary>Nothing to send.</summary>
    public bool IsEmpty => Heartbeats.Count == 0 && Hello is null && Messages.Count == 0 && Requests.Count == 0 && Replies.Count == 0 && Gossip.Count == 0 && Handoffs.Count == 0;

    /// <summary>Takes everything out, to fill the frame anew; <see cref="ClusterId"/> stays.</summary>
    public void Clear()
    {
        Hello = null;
        Messages.Clear();
        Requests.Clear();
        Replies.Clear();
        Gossip.Clear();
        Handoffs.Clear();
        Heartbeats.Clear();
    }

    /// <summary>About how many bytes a message takes in a frame, to keep a batch below the limit.</summary>
    public static int ApproximateBytes(Message message)
    {
        var bytes = 64;
        switch (message)
        {
            case AppendEntries append:
                foreach (var entry in append.Entries)
                {
                    bytes += entry.Payload.Length + 24;
                }

                break;
            case InstallSnapshot piece:
                bytes += piece.Data.Length;
                break;
            case RequestVoteReply vote:
                bytes += vote.Known.Count * 48;
                break;
            default:
                break;
        }

        return bytes;
    }

    /// <summary>About how many bytes a call takes in a frame.</summary>
    public static int ApproximateBytes(in CallRequest request) =>
        128 + request.Command.Key.Length + request.Command.Value.Length + (request.Command.Once is Once.ByKey byKey ? byKey.Key.Length : 0) + request.Key.Length + request.Scan.From.Length + request.Scan.Prefix.Length + (request.Scan.Keys?.Sum(static key => key.Length + 4) ?? 0) + (request.Watch?.Filter.Bytes.Length ?? 0);

    /// <summary>About how many bytes an answer takes in a frame.</summary>
    public static int ApproximateBytes(in CallReply reply)
    {
        var bytes = 128 + reply.Result.Value.Length;
        if (reply.Watch is { } watch)
        {
            foreach (var read in watch.Events)
            {
                bytes += read.Cost;
            }
        }

        if (reply.Page is { } page)
        {
            foreach (var record in page.Records)
            {
                bytes += record.Key.Length + record.Value.Length + 64;
            }
        }

        return bytes;
    }
}

/// <summary>Who speaks on a stream.</summary>
/// <param name="Version">Of the protocol.</param>
/// <param name="Node">The sender.</param>
/// <param name="Incarnation">Its data directory; none for a router. Holds for every message of the stream.</param>
/// <param name="BootNumber">Grows at each start of one incarnation.</param>
/// <param name="ClusterId">The cluster; 0 if it has none yet.</param>
/// <param name="Http">Its HTTP address, or null.</param>
/// <param name="Rpc">Its RPC address, or null for a router that listens on none.</param>
/// <param name="IsRouter">It has no replicas.</param>
public sealed record Hello(uint Version, NodeId Node, Incarnation Incarnation, ulong BootNumber, ulong ClusterId, string? Http, string? Rpc, bool IsRouter)
{
    /// <summary>The node is a process of this one shard, and gets a seat in no other; null for a node that takes any.</summary>
    public ShardId? OnlyShard { get; init; }
}

/// <summary>A message and its group.</summary>
public readonly record struct PeerEnvelope(GroupId Group, Message Message);

/// <summary>A message about a move, encoded, and the group that it is for.</summary>
/// <param name="Group">Whose leader is spoken to.</param>
/// <param name="Message">As Shards/Handoff/HandoffMessageCodec.cs says.</param>
/// <param name="PassOn">The receiver is asked to pass it on to that leader. What is passed on does not say so: one hop, and no more.</param>
public readonly record struct HandoffEnvelope(GroupId Group, ReadOnlyMemory<byte> Message, bool PassOn = false);

/// <summary>What a forwarded call asks for.</summary>
public enum CallKind : byte
{
    /// <summary>A write: <see cref="CallRequest.Command"/>.</summary>
    Command = 1,

    /// <summary>A get: <see cref="CallRequest.Key"/>.</summary>
    Get = 2,

    /// <summary>A page of a scan: <see cref="CallRequest.Scan"/>.</summary>
    Scan = 3,

    /// <summary>An operator's wish: <see cref="CallRequest.Change"/>. Leaders alone are asked, and it is never passed on.</summary>
    Change = 4,

    /// <summary>What happened to records: <see cref="CallRequest.Watch"/>. Served by any replica, and never passed on.</summary>
    Watch = 5,
}

/// <summary>A client's call, forwarded to a node that may lead the shard. Make it with <see cref="Write"/>, <see cref="Get"/> or <see cref="ScanPage"/>.</summary>
/// <param name="Id">The asker's own number, unique on its side of the stream; echoed.</param>
/// <param name="Shard">The shard asked.</param>
/// <param name="Hops">How often the call was forwarded before; 0 to 15.</param>
/// <param name="TimeoutMs">What is left of its time, 1 to 600,000.</param>
/// <param name="Stale">Reads only: what is applied will do.</param>
/// <param name="Kind">Which of the following holds.</param>
/// <param name="Command">The write.</param>
/// <param name="Key">The key to get.</param>
/// <param name="Scan">The bounds of the page.</param>
public readonly record struct CallRequest(ulong Id, ShardId Shard, int Hops, int TimeoutMs, bool Stale, CallKind Kind, Command Command, ReadOnlyMemory<byte> Key, ScanRequest Scan)
{
    /// <summary>It may change a record: without an answer the outcome is unknown.</summary>
    public bool IsWrite => Kind == CallKind.Command;

    /// <summary>What an operator wishes; null unless <see cref="CallKind.Change"/>.</summary>
    public ShardChange? Change { get; init; }

    /// <summary>What a watch asks; null unless <see cref="CallKind.Watch"/>.</summary>
    public WatchPull? Watch { get; init; }

    /// <summary>Asks a replica for events. Its time, which is brought into range, is how long the replica waits if there are none.</summary>
    public static CallRequest WatchOf(ulong id, ShardId shard, int timeoutMs, WatchPull watch) =>
        CallCodec.Asserted(new(id, shard, 0, CallCodec.TimeInRange(timeoutMs), false, CallKind.Watch, default, default, default) { Watch = watch });

    /// <summary>Asks a leader for a change. Its time is brought into range.</summary>
    public static CallRequest ChangeOf(ulong id, ShardId shard, int timeoutMs, ShardChange change) =>
        CallCodec.Asserted(new(id, shard, 0, CallCodec.TimeInRange(timeoutMs), false, CallKind.Change, default, default, default) { Change = change });

    /// <summary>Forwards a write. Its time is brought into range.</summary>
    /// <exception cref="ArgumentException">The other side would refuse this and cut the stream, and with it every other call.</exception>
    public static CallRequest Write(ulong id, ShardId shard, int hops, int timeoutMs, in Command command) =>
        CallCodec.Asserted(new(id, shard, hops, CallCodec.TimeInRange(timeoutMs), false, CallKind.Command, command, default, default));

    /// <summary>Forwards a get. Its time is brought into range.</summary>
    /// <exception cref="ArgumentException">As for <see cref="Write"/>.</exception>
    public static CallRequest Get(ulong id, ShardId shard, int hops, int timeoutMs, ReadOnlyMemory<byte> key, bool stale) =>
        CallCodec.Asserted(new(id, shard, hops, CallCodec.TimeInRange(timeoutMs), stale, CallKind.Get, default, key, default));

    /// <summary>Forwards a page of a scan. Its time is brought into range.</summary>
    /// <exception cref="ArgumentException">As for <see cref="Write"/>.</exception>
    public static CallRequest ScanPage(ulong id, ShardId shard, int hops, int timeoutMs, in ScanRequest scan, bool stale) =>
        CallCodec.Asserted(new(id, shard, hops, CallCodec.TimeInRange(timeoutMs), stale, CallKind.Scan, default, default, scan));
}

/// <summary>The answer to a <see cref="CallRequest"/>.</summary>
/// <param name="Id">The number of the request.</param>
/// <param name="Result">To a write or a get; for a scan default.</param>
/// <param name="Page">To a scan; else null.</param>
/// <param name="Leader">Who leads the shard as far as the answering node knows; none if unknown.</param>
/// <param name="LeaderHttp">The leader's HTTP address, or null.</param>
/// <param name="Detail">For an error: what happened in words, or null.</param>
public readonly record struct CallReply(ulong Id, CommandResult Result, ScanPage? Page, NodeId Leader, string? LeaderHttp, string? Detail)
{
    /// <summary>How it ended.</summary>
    public ResultCode Code => Page?.Code ?? Result.Code;

    /// <summary>To an operator's wish; else null. Null also if whoever was asked does not lead.</summary>
    public ChangeReply? Change { get; init; }

    /// <summary>To a watch; else null. Null also if whoever was asked has no replica.</summary>
    public WatchReply? Watch { get; init; }
}
