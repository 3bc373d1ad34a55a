using System.Collections.Immutable;
using Flotilla.Raft;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Ownership;

namespace Flotilla.Simulation.Moves;

/// <summary>
/// What one process knows of the cluster's shards, as long as it runs: the product's gossip over the simulated network, begun with
/// what its disk had kept, perhaps long ago. Publishes what the shards led here say of themselves whenever it changes.
/// </summary>
public sealed class SimulatedTopology
{
    private const long ExchangeUs = 1_000_000;
    private readonly World _world;
    private readonly SimulatedNode _node;
    private readonly Chance _chance;
    private readonly Gossiper _gossiper;
    private readonly int _boot;
    private readonly Dictionary<HostedReplica, Told> _told = [];
    private readonly Dictionary<HostedReplica, LogIndex> _tellBeyond = [];
    private OwnershipView? _view;
    private bool _follows;

    /// <summary>Begins to gossip.</summary>
    public SimulatedTopology(World world, SimulatedNode node, GossipTable kept, Chance chance)
    {
        _world = world;
        _node = node;
        _chance = chance;
        _boot = node.Boot;
        _gossiper = new Gossiper(new GossipOptions(world.Genesis.ClusterId, node.Id.Value, node.Incarnation.Value, (ulong)node.Boot), kept);
        After(_chance.Between(1, 5_000), () => Carry(_gossiper.Announce(new NodeAddresses($"{node.Id}:1", $"{node.Id}:2", null, null), isReluctant: false), toAll: true));
        After(_chance.Between(1, ExchangeUs), Exchange);
    }

    /// <summary>All that it knows.</summary>
    public GossipTable Table => _gossiper.Table;

    /// <summary>Who owns and who should own each slot, by all that it knows.</summary>
    public OwnershipView View => ReferenceEquals(_view?.Table, Table) ? _view! : _view = OwnershipView.Of(Table, _view);

    /// <summary>Who leads a shard, by the newest term that was heard of here; none if nobody is known to.</summary>
    public NodeId LeaderOf(ShardId shard, GroupId group)
    {
        var raft = _node.Replicas.FirstOrDefault(r => r.Genesis.Group == group)?.Replica.Raft;
        var (term, leader) = raft is null || raft.Leader.IsNone ? default : (raft.Term, raft.Leader);
        return Table.Find(new ShardKey(shard, group.Value))?.Descriptor is { Leader: { } told } descriptor && descriptor.Version.Term > term.Value ? new NodeId(told) : leader;
    }

    /// <summary>A replica here has taken a step: if it leads and says something new, everybody is told.</summary>
    public void Stepped(HostedReplica hosted)
    {
        var replica = hosted.Replica;
        var raft = replica.Raft;
        var leads = raft.Role == Role.Leader && replica.LastTerm == raft.Term;
        if (!leads)
        {
            _told.Remove(hosted);
            return;
        }

        var ownership = replica.Ownership;
        var told = new Told(raft.Term, raft.CommittedConfiguration.Index, ownership.State, ownership.Weight, ownership.Slots, ownership.IsSettled);
        var before = _told.GetValueOrDefault(hosted);
        var isBeyond = _tellBeyond.TryGetValue(hosted, out var index) && replica.LastApplied > index;
        if (told != before || !ReferenceEquals(told.Slots, before.Slots) || isBeyond)
        {
            _told[hosted] = told;
            _tellBeyond.Remove(hosted);
            _node.Steward!.HasChanged(hosted);
            Carry(_gossiper.Publish(Describe(hosted)), toAll: true);
        }
    }

    private ShardDescriptor Describe(HostedReplica hosted)
    {
        var replica = hosted.Replica;
        var (index, configuration) = replica.Raft.CommittedConfiguration;
        return new ShardDescriptor
        {
            Key = KeyOf(hosted),
            Version = new DescriptorVersion(replica.LastTerm.Value, replica.LastApplied.Value),
            State = replica.Ownership.State,
            Weight = replica.Ownership.Weight,
            Leader = _node.Id.Value,
            ConfigurationIndex = index.Value,
            Voters = Members(configuration.Voters),
            Learners = Members(configuration.Learners),
            Slots = replica.Ownership.Slots,
            RingDigest = View.Ring.Digest,
        };
    }

    private static ShardKey KeyOf(HostedReplica hosted) => new(hosted.Genesis.Shard, hosted.Genesis.Group.Value);

    private static ImmutableArray<ShardMember> Members(IEnumerable<NodeId> ids) => [.. ids.Order().Select(id => new ShardMember(id.Value, default))];

    private void Exchange()
    {
        Carry(_gossiper.Exchange(_chance.Next(), [.. _world.Nodes.Where(n => n != _node && n.Up).Select(n => n.Id.Value)]), toAll: false);
        After(ExchangeUs, Exchange);
    }

    private void Receive(NodeId from, GossipMessage message) => Carry(_gossiper.Receive(from.Value, message), toAll: false);

    // Slots move only to a shard whose descriptor names the source's ring, so one that expects slots and names an old ring is told anew.
    private void TellRingsThatChanged()
    {
        _follows = false;
        foreach (var (hosted, told) in _told)
        {
            if (Table.Find(KeyOf(hosted))?.Descriptor is { } said && said.RingDigest != View.Ring.Digest && said.Leader == _node.Id.Value
                && !View.ExpectedBy(said.Key, said.Slots.Slots).IsEmpty)
            {
                TellBeyond(hosted, said.Version);
            }
        }
    }

    // Of two descriptors of one version neither is newer: what is told again needs a later entry.
    private void TellBeyond(HostedReplica hosted, DescriptorVersion version)
    {
        if (_tellBeyond.TryAdd(hosted, new LogIndex(version.Index)))
        {
            _node.Post(hosted, (replica, clock) =>
            {
                if (replica.Raft.Log.LastIndex.Value <= version.Index)
                {
                    replica.ProposeTime(clock);
                }
            });
        }
    }

    private void Carry(GossipOutput output, bool toAll)
    {
        foreach (var send in output.Sends)
        {
            foreach (var other in _world.Nodes)
            {
                if (other != _node && (toAll || send.To.Contains(other.Id.Value, StringComparer.Ordinal)))
                {
                    _world.Network.Send(_node.Number, other.Number, () =>
                    {
                        if (other is { Up: true, Paused: false } && Arriving(send.Message) is { } message)
                        {
                            other.Topology!.Receive(_node.Id, message);
                        }
                    });
                }
            }
        }

        if (output.Changed.Count > 0 && !_follows)
        {
            _follows = true;
            After(_chance.Between(500, 20_000), TellRingsThatChanged);
        }

        foreach (var superseded in output.Findings.OfType<GossipFinding.Superseded>())
        {
            // Told under an older entry than what stands. If that is this leader's own word, it is told again beyond it.
            if (superseded.Standing.State != ShardState.Retired && superseded.Standing.Leader == _node.Id.Value && World.ReplicaOn(_node, superseded.Standing.Shard) is { } hosted)
            {
                TellBeyond(hosted, superseded.Standing.Version);
            }
        }
    }

    // Now and then a bit of it is flipped on its way, in a router's memory or a node's (hazard 53): what is heard then is not what was said.
    private GossipMessage? Arriving(GossipMessage message)
    {
        if (!_chance.Hit(_world.Network.Quality.Loss))
        {
            return message;
        }

        var bytes = GossipCodec.Encode(message);
        bytes[_chance.Below(bytes.Length)] ^= (byte)(1 << _chance.Below(8));
        _world.Count("flipped bit in gossip");
        return GossipCodec.TryDecode(bytes, out var heard, out _) ? heard : null;
    }

    private void After(long us, Action action) => _world.Scheduler.After(us, () =>
    {
        if (!_node.Up || _node.Boot != _boot)
        {
            return;
        }

        if (_node.Paused)
        {
            After(_chance.Between(1_000, 20_000), action);
        }
        else
        {
            action();
        }
    });

    // What a descriptor is made anew for, if it changes. Slots are the same object until they change.
    private readonly record struct Told(Term Term, LogIndex Configuration, ShardState State, int Weight, SlotEpochs? Slots, bool IsSettled);
}
