using System.Runtime.ExceptionServices;
using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Snapshots;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Raft.Quiet;
using Flotilla.Shards;
using Flotilla.Storage.Identity;
using Flotilla.Storage.Snapshots;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Hosting;

/// <summary>
/// The replicas of this node on their loops: those that genesis, the log or a snapshot knows when the node starts, and from
/// then on one for each shard in which a leader says that this very data directory has a seat. One that was removed stays:
/// what it knows is worth keeping if it is given a seat again. Those of a retired shard go, and never come again. Thread-safe once <see cref="Recover"/> has returned.
/// </summary>
internal sealed class ReplicaHost
{
    /// <summary>What the events kept for those who watch may take on a node of many shards.</summary>
    private const long EventBytesOfAll = 32L << 20;

    private readonly Lock _gate = new();
    private readonly NodeOptions _options;
    private readonly NodeState _state;
    private readonly ClusterState _cluster;
    private readonly ILogger _log;
    private readonly ShardLoop[] _loops;
    private readonly Action<Exception> _fatal;
    private readonly HashSet<GroupId> _retired;
    private Dictionary<GroupId, HostedReplica> _replicas = [];
    private (ShardId Shard, GroupId Group)[] _beganHere;

    public ReplicaHost(NodeOptions options, NodeState state, ClusterState cluster, LoopServices services, ILogger log)
    {
        _options = options;
        _state = state;
        _cluster = cluster;
        _log = log;
        _fatal = services.Fatal;

        // The group of a shard that was born here is a function of this directory: of those that are retired nothing else is kept.
        _beganHere =
        [
            .. state.Genesis.Shards.Where(shard => !state.HasEntered && shard.Voters[0] == options.NodeId).Select(static shard => (shard.Shard, shard.Group)),
            .. state.LateShards.Where(static shard => shard.BornHere).Select(static shard => (shard.Shard, shard.Group)),
            .. state.Retired.Where(shard => shard.Group == Genesis.GroupOf(state.Genesis.ClusterId, shard.Shard, state.Incarnation)).Select(static shard => (shard.Shard, shard.Group)),
        ];
        _retired = [.. state.Retired.Select(static shard => shard.Group)];
        var count = Environment.ProcessorCount <= 4 ? 1 : Environment.ProcessorCount / 4;
        _loops = [.. Enumerable.Range(0, count).Select(i => new ShardLoop(
            i, LoopLimits.Default, services, new QuietShards(options.NodeId, options.Replica.Raft, (uint)i, services.Heard, services.Beat)))];
    }

    /// <summary>The loops.</summary>
    public IReadOnlyList<ShardLoop> Loops => _loops;

    /// <summary>How many replicas there are.</summary>
    public int Count => Volatile.Read(ref _replicas).Count;

    /// <summary>All replicas; an immutable snapshot.</summary>
    public IReadOnlyCollection<HostedReplica> Replicas => Volatile.Read(ref _replicas).Values;

    /// <summary>The replica of a group, or null.</summary>
    public HostedReplica? Of(GroupId group) => Volatile.Read(ref _replicas).GetValueOrDefault(group);

    /// <summary>The shards that began at this data directory: those of which genesis makes this node the first voter, and those that were born here. Only ever grows.</summary>
    public IReadOnlyList<(ShardId Shard, GroupId Group)> BeganHere => Volatile.Read(ref _beganHere);

    /// <summary>Before the loops start: makes the replicas that this node had or begins with.</summary>
    /// <returns>What this node knows of each shard by itself, and its first voters.</returns>
    public IReadOnlyList<(ShardDescriptor Shard, IReadOnlyList<NodeId> First)> Recover()
    {
        var known = _state.Wal.Groups.ToHashSet();
        var late = _state.LateShards.Select(shard => Begin(shard.Shard, shard.Group, shard.BornHere)).ToArray();
        var first = _state.Genesis.Shards.Where(shard => !_retired.Contains(shard.Group)).ToArray();
        var hosts = first.Where(shard => VotersOf(shard).Contains(_options.NodeId) || known.Contains(shard.Group) || _state.Snapshots.Latest(shard.Group) is not null)
            .Concat(late).Select(static shard => shard.Group).ToHashSet();

        var loaded = Load(hosts);
        var clock = NodeClock.Read();
        var shards = new List<(ShardDescriptor Shard, IReadOnlyList<NodeId> First)>();
        foreach (var shard in first.Concat(late))
        {
            shards.Add((AppliedShard.DescribeFirst(shard, _cluster.Nodes), shard.Voters));
            if (hosts.Contains(shard.Group))
            {
                var snapshot = loaded.GetValueOrDefault(shard.Group);
                var recovered = _state.Snapshots.Recover(shard.Group, _state.Wal.Recovered(shard.Group)) with { SnapshotConfiguration = snapshot?.Configuration };
                var hosted = Make(shard, recovered, clock, snapshot?.State);
                _replicas.Add(shard.Group, hosted);
                LoopOf(shard).Add(hosted);
                shards.Add((hosted.Applied().Describe(_options.NodeId, _cluster.Nodes, ringDigest: 0), shard.Voters));
            }
        }

        return shards;
    }

    /// <summary>The longest part of a start: snapshots are loaded side by side.</summary>
    private Dictionary<GroupId, LoadedSnapshot> Load(IEnumerable<GroupId> groups)
    {
        try
        {
            return groups.AsParallel()
                .Select(group => _state.Snapshots.Latest(group))
                .OfType<SnapshotInfo>()
                .Select(info => LoadedSnapshot.Read(_state.Snapshots, info))
                .ToDictionary(snapshot => snapshot.Info.Group);
        }
        catch (AggregateException e)
        {
            // Whoever starts the node tells one damaged file from another by the exception, not by who read it.
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
            throw;
        }
    }

    /// <summary>The members that the replicas here know of; before the loops start.</summary>
    public IEnumerable<Member> KnownMembers() => _replicas.Values.SelectMany(static hosted => hosted.Replica.Raft.Configuration.Members);

    /// <summary>A message of some group has arrived. For any thread.</summary>
    public void Receive(Hello from, in PeerEnvelope envelope)
    {
        var hosted = Of(envelope.Group) ?? BeginToHost(from, envelope);
        if (hosted is not null)
        {
            var input = LoopInput.ForMessage(hosted, from.Node, from.Incarnation, envelope.Message);
            if (hosted.Loop.Inbox.TryPostMessage(input, PeerFrame.ApproximateBytes(envelope.Message)) != Posted.Taken)
            {
                NodeMetrics.MessagesDropped.Add(1);
            }
        }
    }

    /// <summary>A leader's configuration names this very data directory: the group gets a replica here, which begins empty.</summary>
    private HostedReplica? BeginToHost(Hello from, in PeerEnvelope envelope)
    {
        var seat = envelope.Message switch
        {
            AppendEntries append => append.Seat,
            InstallSnapshot install => install.Seat,
            _ => default,
        };
        var group = envelope.Group;
        if (seat != _state.Incarnation || _cluster.Table.Shards.FirstOrDefault(r => r.Group == group) is not { } route)
        {
            return null;
        }

        lock (_gate)
        {
            if (_replicas.TryGetValue(group, out var hosted) || _retired.Contains(group))
            {
                return hosted;
            }

            // Nothing of it is on the disk: the start hosts every group of which there is.
            var shard = _state.Genesis.Shards.FirstOrDefault(s => s.Group == group);
            if (shard is null)
            {
                // Which voters it began with its log says, or the leader's snapshot.
                if (!Keep(new LateShard(route.Shard, group, BornHere: false)))
                {
                    return null;
                }

                shard = Begin(route.Shard, group, bornHere: false);
            }

            hosted = Host(shard);
            route.Host(hosted);
            _log.BeginsToHost(shard.Shard, from.Node);
            return hosted;
        }
    }

    /// <summary>A shard is born here: empty, with this node as its only voter. To ask again is harmless. Null if the node can't go on, or if it was born here and is retired.</summary>
    /// <remarks>
    /// Its group is a function of this data directory, so it is born here once; and elsewhere another group would be, which
    /// gossip tells of. It counts as born once that is durable, and the replica votes only then.
    /// </remarks>
    public HostedReplica? Bear(ShardId number)
    {
        var group = Genesis.GroupOf(_state.Genesis.ClusterId, number, _state.Incarnation);
        lock (_gate)
        {
            if (_replicas.TryGetValue(group, out var hosted))
            {
                return hosted;
            }

            if (_retired.Contains(group) || !Keep(new LateShard(number, group, BornHere: true)))
            {
                return null;
            }

            _log.ShardIsBorn(number, group.Value);
            Volatile.Write(ref _beganHere, [.. _beganHere, (number, group)]);
            return Host(Begin(number, group, bornHere: true));
        }
    }

    /// <summary>
    /// A shard is retired: its replica here ends, and its data go. First it is made durable that it is never hosted again, so that after a
    /// crash the start finishes what was begun, and takes nothing that is left for a shard that lives.
    /// </summary>
    public void TakeAway(HostedReplica hosted)
    {
        var (shard, group) = (hosted.Genesis.Shard, hosted.Genesis.Group);
        lock (_gate)
        {
            if (!_replicas.ContainsKey(group) || !Keep(() => _state.KeepRetired(new RetiredShard(shard, group)), $"That shard {shard} is retired"))
            {
                return;
            }

            _retired.Add(group);
            var left = new Dictionary<GroupId, HostedReplica>(_replicas);
            left.Remove(group);
            Volatile.Write(ref _replicas, left);
        }

        var table = _cluster.Table;
        table.Shards.Concat(table.Past).FirstOrDefault(route => route.Group == group)?.Host(null);
        hosted.Loop.TakeAway(hosted);
        _log.RetiredShardIsRemoved(shard, group.Value);
    }

    private bool Keep(LateShard shard) => Keep(() => _state.KeepShard(shard), $"That shard {shard.Shard} is hosted here");

    private bool Keep(Action write, string what)
    {
        try
        {
            write();
            return true;
        }
        catch (IOException e)
        {
            _fatal(new NodeFailedException($"{what} could not be made durable: {e.Message} The node stops. Check the disk and its free space, and start it again.", e));
            return false;
        }
    }

    private HostedReplica Host(ShardGenesis shard)
    {
        var hosted = Make(shard, RaftRecovery.Empty, NodeClock.Read(), restored: null);
        Volatile.Write(ref _replicas, new Dictionary<GroupId, HostedReplica>(_replicas) { [shard.Group] = hosted });
        LoopOf(shard).Add(hosted);
        return hosted;
    }

    private ShardGenesis Begin(ShardId shard, GroupId group, bool bornHere) => new(shard, group, bornHere ? [_options.NodeId] : [], []);

    /// <summary>The replicas of all shards share what events may take.</summary>
    private ReplicaOptions Options => _options.Replica with { HealAfterMs = (int)Math.Min(int.MaxValue, _options.HealAfter?.TotalMilliseconds ?? 0), EventBytes = Math.Min(_options.Replica.EventBytes, EventBytesOfAll / Math.Max(1, _state.Genesis.Shards.Count)) };

    private HostedReplica Make(ShardGenesis shard, RaftRecovery recovered, ClockReading clock, StateMachine? restored) => new(
        shard, _options.NodeId,
        new Replica(shard with { Voters = VotersOf(shard) }, _options.NodeId, _state.Incarnation, Options, recovered, (ulong)Random.Shared.NextInt64(), clock, restored: restored)
        {
            Raft = { Pulse = new Pulse(_state.Incarnation, _state.BootNumber, (uint)NumberOfLoop(shard)) },
        });

    /// <summary>
    /// Its first voters, as far as a replica here may go by them. A directory that entered the cluster is not the first voter
    /// that its node's name says. Where there was no other one, nobody could tell it so: it would elect itself, at once or once it has a
    /// seat and the beginning of the log. It goes by what the log says of members, and until then by nothing.
    /// </summary>
    private IReadOnlyList<NodeId> VotersOf(ShardGenesis shard) => _state.HasEntered && shard.Voters is [var only] && only == _options.NodeId && _state.Genesis.Shards.Any(first => first.Group == shard.Group) ? [] : shard.Voters;

    private ShardLoop LoopOf(ShardGenesis shard) => _loops[NumberOfLoop(shard)];

    private int NumberOfLoop(ShardGenesis shard) => shard.Shard.Value % _loops.Length;
}
