using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Invariants;
using Flotilla.Simulation.Network;
using Flotilla.Simulation.Nodes;
using Flotilla.Simulation.Time;
using Flotilla.Storage;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Simulation;

/// <summary>A cluster with everything around it: clocks, network, nodes, and what must hold at each step.</summary>
public sealed class World
{
    private readonly Dictionary<NodeId, SimulatedNode> _byId = [];
    private readonly ShardId[] _ownerOfSlot = new ShardId[Slot.Count];

    /// <summary>Builds the cluster; nothing runs yet.</summary>
    public World(ulong seed, SimulationOptions options, TextWriter? transcript)
    {
        Options = options;
        Chance = new Chance(seed);
        Transcript = new Transcript(transcript, Scheduler);
        Network = new SimulatedNetwork(Scheduler, Chance.Fork(), options.Nodes);
        var members = Enumerable.Range(1, options.Nodes).Select(i => new ClusterMember(new NodeId($"n{i}"), $"127.0.0.1:{50050 + i}")).ToList();
        Genesis = Genesis.Compute(members, options.Shards, options.Replicas, mode: options.FirstMode);
        Shards = [.. Genesis.Shards];
        Nodes = [.. members.Select((m, i) => new SimulatedNode(this, i, m.Node, Genesis.Shards, Chance.Fork()))];
        foreach (var node in Nodes)
        {
            _byId.Add(node.Id, node);
        }

        foreach (var shard in Genesis.Shards)
        {
            foreach (var slot in shard.Slots)
            {
                _ownerOfSlot[slot.Value] = shard.Shard;
            }
        }

        Elections = new ElectionSafety();
        Committed = new CommittedLog();
        States = new SameState();
        Invariants = [Elections, new LeaderAppendOnly(), new LogMatching(), Committed, States, new OneVoteATerm(), new NothingUnsyncedIsTold(), new DiskKeepsItsWord(),
            new StalledDiskDoesNotLead(Scheduler, options.Replica.Raft, options.Nodes), new UncommittedIsBounded(options.Replica.Raft.MaxUncommittedBytes)];
        if (options.Modes)
        {
            Held = new HeldEverywhere(this);
            Invariants = [.. Invariants, Held, new PassedOn(this)];
        }

        if (options.Moves)
        {
            Meaning = new LogMeaning(Committed, Genesis.Shards, [new OneOwner(), new OneLine(), new WholeHandoffs(this)]);
            Invariants = [.. Invariants, Meaning];
        }
    }

    /// <summary>What the run is like.</summary>
    public SimulationOptions Options { get; }

    /// <summary>Virtual time.</summary>
    public Scheduler Scheduler { get; } = new();

    /// <summary>Chance for whoever forks it.</summary>
    public Chance Chance { get; }

    /// <summary>What happened.</summary>
    public Transcript Transcript { get; }

    /// <summary>The links.</summary>
    public SimulatedNetwork Network { get; }

    /// <summary>How the cluster began.</summary>
    public Genesis Genesis { get; }

    /// <summary>All shards that there ever were, by number: those of genesis first, then those that were born since.</summary>
    public List<ShardGenesis> Shards { get; }

    /// <summary>What the committed logs say; null where no slot ever moves.</summary>
    public LogMeaning? Meaning { get; }

    /// <summary>What was acknowledged by all that are in sync; null where no mode ever changes.</summary>
    public HeldEverywhere? Held { get; }

    /// <summary>The nodes, ordered by id.</summary>
    public IReadOnlyList<SimulatedNode> Nodes { get; }

    /// <summary>What must hold.</summary>
    public IReadOnlyList<Invariant> Invariants { get; }

    /// <summary>Who led when.</summary>
    public ElectionSafety Elections { get; }

    /// <summary>What is committed.</summary>
    public CommittedLog Committed { get; }

    /// <summary>What state followed from it.</summary>
    public SameState States { get; }

    /// <summary>Called when a replica says that it has become leader.</summary>
    public Action<HostedReplica>? LeaderElected { get; set; }

    /// <summary>Called when a replica goes by another configuration.</summary>
    public Action<HostedReplica, Configuration>? Reconfigured { get; set; }

    /// <summary>Answers get lost on the way to clients, as often as messages between nodes.</summary>
    public bool AnswersGetLost { get; set; } = true;

    /// <summary>The time of faults is over.</summary>
    public bool IsHealing => Scheduler.NowUs >= Options.Seconds * 1_000_000L;

    /// <summary>How often what happened, by name.</summary>
    public SortedDictionary<string, int> Counts { get; } = new(StringComparer.Ordinal);

    /// <summary>Counts one more of something.</summary>
    public void Count(string what) => Counts[what] = Counts.GetValueOrDefault(what) + 1;

    /// <summary>A node by its name.</summary>
    public SimulatedNode NodeOf(NodeId id) => _byId[id];

    /// <summary>A shard is born: each node hosts a replica of it, which begins when its voters do, or when it is added.</summary>
    public void Bear(ShardGenesis shard)
    {
        Shards.Add(shard);
        Meaning!.Bear(shard);
        foreach (var node in Nodes)
        {
            node.Host(shard);
        }
    }

    /// <summary>The shard that owns a key at first.</summary>
    public ShardId OwnerOf(ReadOnlySpan<byte> key) => _ownerOfSlot[Slot.Of(key).Value];

    /// <summary>The shard has retired, as its committed log says.</summary>
    public bool IsRetired(ShardId shard) => Meaning?.Of(shard).Ownership.State == ShardState.Retired;

    /// <summary>A replica of a shard; null if it was taken away.</summary>
    public static HostedReplica? ReplicaOn(SimulatedNode node, ShardId shard) => node.Replicas.FirstOrDefault(r => r.Genesis.Shard == shard);

    /// <summary>Whoever says that it leads a shard, the newest term first; null if nobody does.</summary>
    public HostedReplica? LeaderOf(ShardId shard) =>
        Nodes.Where(n => n.Up).Select(n => ReplicaOn(n, shard)).OfType<HostedReplica>().Where(r => r.Replica.Raft.Role == Role.Leader).MaxBy(r => r.Replica.Raft.Term.Value);

    /// <summary>The highest term of a shard at any node that runs, also one that is cut off: it would end the leader's term once it is back.</summary>
    public Term NewestTerm(ShardId shard) => Nodes.Where(n => n.Up).Select(n => ReplicaOn(n, shard)!.Replica.Raft.Term).Max();

    /// <summary>Starts a node, unless it runs.</summary>
    public void StartIfDown(SimulatedNode node)
    {
        if (!node.Up)
        {
            Count("start");
            try
            {
                node.Start();
            }
            catch (WalCorruptException e) when (node is { Up: false, Restore: { } restore })
            {
                Say(node, $"does not start: {e.Message}");
                Count("damage refused");
                node.Restore = null;
                restore();
                Scheduler.After(Chance.Between(10_000, 500_000), () => StartIfDown(node));
            }
        }
    }

    /// <summary>Puts a message on the network.</summary>
    public void Send(HostedReplica from, NodeId to, Message message)
    {
        var sender = from.Node;
        var incarnation = sender.Incarnation;
        var shard = from.Genesis.Shard;
        var receiver = _byId[to];
        if (Transcript.On)
        {
            Say(from, $"-> {to} {Transcript.Describe(message)}");
        }

        Network.Send(sender.Number, receiver.Number, () =>
        {
            if (receiver.Up && ReplicaOn(receiver, shard) is { } hosted)
            {
                if (Transcript.On)
                {
                    Say(hosted, $"<- {sender.Id} {Transcript.Describe(message)}");
                }

                receiver.Post(hosted, (replica, clock) => replica.Receive(sender.Id, incarnation, message, clock));
            }
        });
    }

    /// <summary>Puts what the leader of a shard says about a move on the network, to whom its node believes to lead the other one.</summary>
    public void Send(HostedReplica from, ShardId shard, GroupId group, HandoffMessage message)
    {
        var to = from.Node.Topology!.LeaderOf(shard, group);
        if (to.IsNone || Shards.Find(s => s.Group == group) is null)
        {
            return;
        }

        if (Transcript.On)
        {
            Say(from, $"-> {to}/s{shard} {Transcript.Describe(message)}");
        }

        var receiver = _byId[to];
        var bytes = HandoffMessageCodec.Encode(message);
        Network.Send(from.Node.Number, receiver.Number, () =>
        {
            if (receiver.Up && ReplicaOn(receiver, shard) is { } hosted)
            {
                var told = HandoffMessageCodec.Decode(bytes);
                receiver.Post(hosted, (replica, _) => replica.Receive(told));
            }
        });
    }

    /// <summary>Writes a line about a node.</summary>
    public void Say(SimulatedNode node, string text)
    {
        if (Transcript.On)
        {
            Transcript.Line($"{node.Id} {text}");
        }
    }

    /// <summary>Writes a line about a replica.</summary>
    public void Say(HostedReplica hosted, string text)
    {
        if (Transcript.On)
        {
            Transcript.Line($"{hosted.Name} {text}");
        }
    }
}
