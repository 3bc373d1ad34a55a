using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>
/// Three shards, a network that loses, delays and repeats, leaders that are replaced with all they know, stale leaders that go on
/// sending, and clients. Checks after every step that no slot is served twice and that whoever serves a key has what was
/// acknowledged; and that a target begins with exactly what its source froze.
/// </summary>
internal sealed class World
{
    public const int MaxSkewMs = 40;

    /// <summary>Hash tags, each a slot of its own.</summary>
    public static readonly string[] Tags = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

    private static readonly HandoffOptions Options = new()
    {
        ChunkBytes = 200, Window = 3, LooksPerStep = 12, PurgeLooks = 7, SmallRestBytes = 300, RoundMs = 3, RetryMs = 40, SlowRetryMs = 300, PatienceMs = 2500, FrozenMs = 60,
    };

    private static readonly Slot[] Slots = [.. Tags.Select(t => Slot.Of(B($"{{{t}}}")))];

    private readonly PriorityQueue<Action, (double At, long Order)> _later = new();
    private readonly List<(Shard Shard, HandoffDriver Driver, StateMachine Machine, double UntilMs)> _stale = [];
    private readonly Client[] _clients;
    private readonly ulong _seed;
    private readonly double _trouble;
    private readonly int[] _skewMs;
    private readonly HashSet<(Slot Slot, uint Epoch, ShardId Shard)> _maps = [];
    private SplitMix64 _random;
    private double _loss;
    private long _order;

    public World(ulong seed)
    {
        _seed = seed;
        _random = new SplitMix64(seed);
        Random = new Chances(this);
        _trouble = 0.2 + (Random.Below(80) / 100.0);
        _loss = Random.Below(30) / 100.0;
        _skewMs = [.. Enumerable.Range(0, 3).Select(_ => Random.Below(MaxSkewMs))];
        Shards = [.. Enumerable.Range(1, 3).Select(i => new Shard(i, Options, i < 3 ? [.. Slots.Where((_, n) => n % 2 == i - 1)] : []))];
        foreach (var shard in Shards)
        {
            shard.Applied = (step, index) => Applied(shard, step, index);
            shard.Vary = o => o with { FrozenMs = Chance(0.5) ? 60 : 800 }; // Nodes may differ in their patience.
        }

        _clients = [.. Enumerable.Range(0, 5).Select(i => new Client(i, this))];
        Fill();
    }

    public Shard[] Shards { get; }

    public double NowMs { get; private set; } = 1000;

    public Chances Random { get; }

    public int Accepts { get; private set; }

    public int Aborts { get; private set; }

    public int Resumed { get; private set; }

    public long Unclear => _clients.Sum(c => c.Unclear);

    public long Done => _clients.Sum(c => c.Done);

    private Instant Now => new((long)(NowMs * 1000));

    public bool Chance(double p) => _random.Chance(p);

    public long Stamp(Shard shard) => (long)NowMs + _skewMs[shard.Id.Value - 1];

    public void After(double ms, Action what) => _later.Enqueue(what, (NowMs + ms, _order++));

    public override string ToString() => $"seed {_seed}, {NowMs:F0} ms";

    /// <summary>So many steps with faults, then as many as it takes for everything to end without.</summary>
    public void Run(int steps)
    {
        for (var i = 0; i < steps; i++)
        {
            Trouble();
            Step(faultless: false);
        }

        _loss = 0;
        _stale.Clear();
        foreach (var shard in Shards.Where(s => s.Driver is null))
        {
            shard.Elect();
        }

        var left = 4000;
        for (; left > 0 && !IsSettled; left--)
        {
            Step(faultless: true);
        }

        Assert.True(IsSettled, $"It did not end: {string.Join("; ", Shards.Select(s => $"{s.Id}: {string.Join(' ', s.Machine.Ownership.Outgoing.Select(m => $"{m.Begin}>{m.TargetShard} {m.Phase}"))} | {string.Join(' ', s.Machine.Ownership.Incoming.Select(m => $"{m.Id} {m.Phase}"))} | purge {s.Machine.Ownership.ToPurge}"))}; {this}");
        foreach (var shard in Shards)
        {
            shard.Follow(int.MaxValue, fromImage: false);
            Assert.All(Dump(shard.Machine, SlotSet.All), r => Assert.True(shard.Machine.Ownership.Slots.Slots.Contains(Slot.Of(B(r.Split(' ')[0]))), $"Shard {shard.Id} kept {r}; {this}"));
        }

        Assert.Equal(Slots.Length, Shards.Sum(s => s.Machine.Ownership.Slots.Count));
        foreach (var client in _clients)
        {
            client.MustBeServed();
        }
    }

    private bool IsSettled => _clients.All(c => c.IsIdle) && Shards.All(s => s.Machine.Ownership.IsSettled && s.Machine.Ownership.ToPurge.IsEmpty && s.Waiting == 0);

    private void Fill()
    {
        foreach (var shard in Shards.Take(2))
        {
            var puts = new List<Command>();
            foreach (var tag in Tags.Where((_, n) => n % 2 == shard.Id.Value - 1))
            {
                puts.AddRange(Enumerable.Range(0, 8).Select(i => Command.Put(B($"fill-{{{tag}}}-{i}"), new byte[i * 5])));
            }

            shard.Propose(CommandCodec.Encode(Stamp(shard), [.. puts]));
            shard.Commit();
        }
    }

    private void Step(bool faultless)
    {
        NowMs += 0.5 + (Random.Below(100) / 25.0);
        while (_later.TryPeek(out _, out var due) && due.At <= NowMs)
        {
            _later.Dequeue()();
        }

        foreach (var client in _clients)
        {
            if (!faultless && Chance(0.3))
            {
                client.Begin();
            }

            client.Step();
        }

        foreach (var shard in Shards)
        {
            if (!faultless && Chance(0.04 * _trouble) && shard.Driver is not null)
            {
                Move(shard);
            }

            Drive(shard);
            while (shard.Driver is not null && shard.Waiting > 0 && Chance(faultless ? 0.9 : 0.6))
            {
                shard.Commit();
                MustHaveOneOwner();
            }
        }

        MapsMustLead();
        foreach (var client in _clients)
        {
            client.Check();
        }
    }

    private void Move(Shard source)
    {
        var target = Shards[Random.Below(3)];
        var ownership = source.Machine.Ownership;
        if (Chance(0.15) && ownership.Outgoing.Any())
        {
            // An operator, or a ring that has changed: perhaps too late.
            source.Propose(HandoffCodec.Encode(Stamp(source), new HandoffStep.Cancel(ownership.Outgoing.ElementAt(Random.Below(ownership.Outgoing.Count())).Begin)));
        }

        var slots = SlotSet.Of(ownership.Slots.Slots.Except(ownership.Leaving).Slots().Where(_ => Chance(0.6)));
        if (target != source && !slots.IsEmpty)
        {
            var epochs = new uint[Slot.Count];
            foreach (var slot in slots.Slots())
            {
                epochs[slot.Value] = ownership.Slots[slot].Value;
            }

            source.Propose(HandoffCodec.Encode(Stamp(source), new HandoffStep.Begin(source.Group, target.Id, target.Group, SlotEpochs.Of(epochs))));
        }
    }

    private void Drive(Shard shard)
    {
        if (shard.Driver is { } driver && (driver.HasNews || driver.NextDeadline <= Now || Chance(0.7)))
        {
            var output = new HandoffOutput();
            driver.Step(shard.Machine, Now, Chance(0.8) ? 100_000 : 0, output);
            foreach (var step in output.Steps)
            {
                if (Chance(0.97))
                {
                    shard.Propose(HandoffCodec.Encode(Stamp(shard), step)); // Else the log was too full.
                }
            }

            Send(output);
        }

        foreach (var (of, stale, machine, until) in _stale.Where(s => s.Shard == shard).ToArray())
        {
            var output = new HandoffOutput();
            stale.Step(machine, Now, 1000, output); // What it proposes never commits.
            Send(output);
            if (NowMs > until)
            {
                _stale.RemoveAll(s => s.Driver == stale);
            }
        }
    }

    private void Send(HandoffOutput output)
    {
        foreach (var (to, _, message) in output.Messages)
        {
            for (var copies = Chance(_loss) ? 0 : Chance(_loss / 2) ? 2 : 1; copies > 0; copies--)
            {
                After(1 + (Chance(_loss / 3) ? Random.Below(800) : _random.Below(6)), () =>
                {
                    var shard = Shards[to.Value - 1];
                    shard.Driver?.Receive(message);
                    _stale.ForEach(s =>
                    {
                        if (s.Shard == shard)
                        {
                            s.Driver.Receive(message);
                        }
                    });
                });
            }
        }
    }

    private void Trouble()
    {
        foreach (var shard in Shards)
        {
            if (shard.Driver is null)
            {
                if (Chance(0.08))
                {
                    shard.Elect();
                }
            }
            else if (Chance(0.012 * _trouble * (shard.Machine.Ownership.Frozen.IsEmpty ? 1 : 5)))
            {
                var known = shard.Copy();
                if (shard.Depose(Random.Below(4)) is { } old && Chance(0.5))
                {
                    _stale.Add((shard, old, known, NowMs + Random.Below(4000)));
                }
            }

            if (Chance(0.05))
            {
                shard.Follow(Random.Below(30), fromImage: Chance(0.2));
            }
        }
    }

    private void Applied(Shard shard, HandoffStep step, LogIndex index)
    {
        switch (step)
        {
            case HandoffStep.Accept accept when shard.Machine.Ownership.IncomingById.TryGetValue(accept.Id, out var move) && move.Phase == IncomingPhase.Accepted:
                Accepts++;
                Resumed += accept.Attempt.Number > 1 ? 1 : 0;
                var source = Shards.Single(s => s.Group == accept.Id.Source);
                if (source.Machine.Ownership.OutgoingByBegin.TryGetValue(accept.Id.Begin, out var frozen) && frozen.Phase == OutgoingPhase.Frozen)
                {
                    // The very entry, not a repetition: it begins with exactly what was frozen.
                    var owned = frozen.Slots.Slots.Intersect(shard.Machine.Ownership.Slots.Slots);
                    if (owned.Equals(frozen.Slots.Slots) && _accepted.Add((accept.Id, index)) && _accepted.Count(a => a.Item1 == accept.Id) == 1)
                    {
                        Assert.Equal(Dump(source.Machine, owned), Dump(shard.Machine, owned));
                        Assert.True(shard.Machine.LogTimeMs >= frozen.FrozenTimeMs, $"{this}");
                    }
                }

                break;
            case HandoffStep.Abort:
                Aborts++;
                break;
        }
    }

    private readonly HashSet<(HandoffId, LogIndex)> _accepted = [];

    private void MustHaveOneOwner()
    {
        foreach (var slot in Slots)
        {
            var serving = Shards.Where(s => s.Machine.Ownership.EpochOf(slot) != 0 && !s.Machine.Ownership.Frozen.Contains(slot)).ToArray();
            Assert.True(serving.Length <= 1, $"Slot {slot} is served by {string.Join(" and ", serving.Select(s => s.Id))}; {this}");
            var epochs = Shards.Select(s => s.Machine.Ownership.EpochOf(slot)).Where(e => e != 0).ToArray();
            Assert.True(epochs.Distinct().Count() == epochs.Length && epochs.Length >= 1, $"Slot {slot} is owned under {string.Join(" and ", epochs)}; {this}");
        }
    }

    /// <summary>
    /// Whoever asks by an old map, however old, comes to the owner by following hints: each was given for a later epoch than the one before,
    /// so that two who point at each other are never followed for ever (hazard 54).
    /// </summary>
    private void MapsMustLead()
    {
        foreach (var slot in Slots)
        {
            foreach (var shard in Shards)
            {
                if (shard.Machine.Ownership.EpochOf(slot) is > 0 and var owned)
                {
                    _maps.Add((slot, owned, shard.Id));
                }
            }
        }

        foreach (var (slot, epoch, shard) in _maps)
        {
            var (at, known) = (shard, epoch);
            for (var hops = 0; ; hops++)
            {
                var ownership = Shards.Single(s => s.Id == at).Machine.Ownership;
                if (ownership.EpochOf(slot) >= known)
                {
                    break;
                }

                var left = ownership.DepartureOf(slot);
                Assert.True(left is not null && left.Epoch.Value > known && hops < Shards.Length, $"Slot {slot}: who asks shard {shard} by epoch {epoch} is led to shard {at} under {known}, and from there to {left}; {this}");
                (at, known) = (left.Shard, left.Epoch.Value);
            }
        }
    }

    private static List<string> Dump(StateMachine machine, SlotSet slots)
    {
        var visitor = new Dumper(slots);
        machine.Records.Visit([], ref visitor);
        return visitor.Records;
    }

    private readonly struct Dumper(SlotSet slots) : IRecordVisitor
    {
        public List<string> Records { get; } = [];

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Data.Version version, long expiresAtMs)
        {
            if (slots.Contains(Slot.Of(key)))
            {
                Records.Add($"{Text(key.ToArray())} {Convert.ToHexString(value)} {version} {expiresAtMs}");
            }

            return true;
        }
    }

    /// <summary>The world's random numbers.</summary>
    internal sealed class Chances(World world)
    {
        public int Below(int n) => (int)world._random.Below(n);
    }
}
