using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Ownership;

namespace Flotilla.Topology.Tests.Ownership;

/// <summary>
/// Shards that come, go and change their weights while gossip loses messages, each with a table and an opinion of its own. A
/// handoff is one step here: what is tested is who gives what to whom, and when it ends.
/// </summary>
public sealed class WalkHomeTests
{
    [Fact]
    public void Slots_walk_home_whatever_the_order_of_changes_and_news_and_then_rest()
    {
        for (var seed = 1UL; seed <= 4; seed++)
        {
            var world = new World(shards: 8, seed);
            for (var step = 0; step < 150; step++)
            {
                world.Step(withChanges: true);
            }

            // No more changes, and every message arrives: all say once what they are, and from then on only those speak who
            // expect slots and have not named the ring that they see.
            world.Loss = 0;
            world.PublishAll();

            var before = world.Moved;
            var misplaced = world.Misplaced();
            for (var step = 0; step < 3000 && (step % 25 != 0 || world.Misplaced() > 0); step++)
            {
                world.Step(withChanges: false);
            }

            Assert.Equal(0, world.Misplaced());
            Assert.Equal(misplaced, world.Moved - before); // Each slot that was not at home moved once, and no other.
        }
    }

    [Fact]
    public void Two_shards_with_different_rings_do_not_play_ping_pong()
    {
        // Shards 1 and 2 hear nothing of each other's news for long: what may move does so once.
        var world = new World(shards: 3, seed: 99) { Loss = 1 };
        world.Change(0, d => d with { Weight = 300 });
        world.Change(1, d => d with { Weight = 400 });
        for (var step = 0; step < 60; step++)
        {
            world.Step(withChanges: false);
        }

        Assert.Equal(0, world.Moved);
    }

    private sealed class World
    {
        private readonly SplitMix _random;
        private readonly Gossiper[] _leaders;
        private readonly uint[][] _slots;
        private readonly ShardDescriptor[] _said;

        public World(int shards, ulong seed)
        {
            _random = new SplitMix(seed);
            _said = [.. Enumerable.Range(1, shards).Select(s => new ShardDescriptor { Key = new ShardKey(new ShardId(s), 1), Version = new DescriptorVersion(1, 0), State = s <= 3 ? ShardState.Active : ShardState.Joining, Leader = $"n{s}" })];
            _slots = [.. _said.Select(_ => new uint[Slot.Count])];
            var ring = new Ring([new(new(1)), new(new(2)), new(new(3))]);
            for (var i = 0; i < Slot.Count; i++)
            {
                _slots[ring.Owner(new Slot((ushort)i)).Value - 1][i] = 1;
            }

            NodeItem[] nodes = [.. Enumerable.Range(1, shards).Select(s => NodeItem.Of(new NodeRecord($"n{s}", 1, 1, 1, default)))];
            _leaders = [.. Enumerable.Range(1, shards).Select(s => new Gossiper(new GossipOptions(1, $"n{s}", 1, 1), GossipTable.Empty.Merge(nodes, out _)))];
            PublishAll(); // Twice: the first ones speak before they have heard of the others.
            PublishAll();
            Loss = 0.5;
        }

        public double Loss { get; set; }

        public int Moved { get; private set; }

        public void Step(bool withChanges)
        {
            var place = _random.Below(_said.Length);
            switch (_random.Below(withChanges ? 4 : 3))
            {
                case 0:
                    Gossip();
                    break;
                case 1:
                    Speak(place);
                    break;
                case 2:
                    Move(place);
                    break;
                default:
                    if (_random.Chance(0.3))
                    {
                        Change(place, d => d with
                        {
                            State = d.State == ShardState.Active && _said.Count(s => s.State == ShardState.Active) > 1 ? ShardState.Leaving : ShardState.Active,
                            Weight = 50 + _random.Below(200),
                        });
                    }

                    break;
            }

            // Exactly one owner, always.
            for (var i = 0; i < Slot.Count; i += 61)
            {
                Assert.Equal(1, _slots.Count(s => s[i] != 0));
            }
        }

        public void Change(int place, Func<ShardDescriptor, ShardDescriptor> to)
        {
            _said[place] = to(_said[place]);
            Publish(place);
        }

        public void PublishAll()
        {
            for (var place = 0; place < _said.Length; place++)
            {
                Publish(place);
            }
        }

        public void Gossip()
        {
            var from = _random.Below(_leaders.Length);
            Carry(from, _leaders[from].Exchange(_random.Next(), [.. _said.Where((_, p) => p != from).Select(d => d.Leader!)]));
        }

        public int Misplaced()
        {
            var ring = OwnershipView.Of(_leaders[0].Table).Ring;
            return Enumerable.Range(0, Slot.Count).Count(i => _slots[ring.Owner(new Slot((ushort)i)).Value - 1][i] == 0);
        }

        private void Speak(int place)
        {
            var view = OwnershipView.Of(_leaders[place].Table);
            if (_said[place].RingDigest != view.Ring.Digest && !view.ExpectedBy(_said[place].Key, SlotEpochs.Of(_slots[place]).Slots).IsEmpty)
            {
                Publish(place);
            }
        }

        private void Publish(int place)
        {
            // The ring that it sees includes what it is about to say.
            var table = _leaders[place].Table.Merge([ShardItem.Of(Next(place, 0))], out _);
            Carry(place, _leaders[place].Publish(Next(place, OwnershipView.Of(table).Ring.Digest)));
        }

        private ShardDescriptor Next(int place, ulong digest)
        {
            var d = _said[place] with { Slots = SlotEpochs.Of(_slots[place]), RingDigest = digest };
            d = d with { Version = d.Version with { Index = d.Version.Index + 1 } };
            if (digest != 0)
            {
                _said[place] = d;
            }

            return d;
        }

        // A batch to each target that may get one. Begin names the ring, and the target goes by what it sees itself.
        private void Move(int place)
        {
            var view = OwnershipView.Of(_leaders[place].Table);
            foreach (var move in view.MovesOf(_said[place].Key, SlotEpochs.Of(_slots[place]).Slots).Where(m => m.Obstacle == MoveObstacle.None))
            {
                var target = move.Target.Shard.Value - 1;
                if (OwnershipView.Of(_leaders[target].Table).Ring.Digest != view.Ring.Digest)
                {
                    continue;
                }

                foreach (var slot in move.Slots.Take(1500).Slots())
                {
                    _slots[target][slot.Value] = _slots[place][slot.Value] + 1;
                    _slots[place][slot.Value] = 0;
                    Moved++;
                }

                Publish(place);
                Publish(target);
            }
        }

        private void Carry(int from, GossipOutput output)
        {
            foreach (var send in output.Sends)
            {
                foreach (var to in send.To.Where(_ => !_random.Chance(Loss)))
                {
                    var place = Array.FindIndex(_said, d => d.Leader == to);
                    Carry(place, _leaders[place].Receive(_said[from].Leader!, send.Message));
                }
            }
        }
    }
}
