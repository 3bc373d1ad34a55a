using Flotilla.Linearizability;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Flotilla.Simulation.Workload;
using Flotilla.Topology;

namespace Flotilla.Simulation.Faults;

/// <summary>
/// For a while all is well but for one thing that lasts, and that leaves a majority of nodes whose links to each other,
/// disks and processes are sound. Once they had time to settle, the cluster must serve every shard promptly and nobody may
/// raise a term: neither one node nor one link keeps a cluster from working (hazards 3 and 5). Faults that come and go hide this,
/// since the next one often mends what the last one did.
/// </summary>
internal sealed class LastingTrouble
{
    /// <summary>Microseconds from the beginning to the end, at most.</summary>
    public const long LongestUs = RestUs + LengthUs;

    // Long enough for what clients began to end, and for the last record to expire.
    private const long RestUs = 7_000_000;
    private const long LengthUs = SettleUs + WatchUs;
    private const long SettleUs = 4_000_000;
    private const long WatchUs = 4_000_000;
    private const long AskEveryUs = 150_000;
    private const long ServeUs = 1_000_000;
    private const long AwayUs = 1_500_000;
    private const int MaxInstalled = 2;
    private readonly World _world;
    private readonly Workload.Workload _workload;
    private readonly Chance _chance;
    private readonly Action _over;
    private Action _mend = () => { };
    private long _lastAskUs;
    private bool _ended;
    private int _asked;

    private LastingTrouble(World world, Workload.Workload workload, Chance chance, Action over)
    {
        _world = world;
        _workload = workload;
        _chance = chance;
        _over = over;
    }

    /// <summary>Begins; everything else has been mended. <paramref name="over"/> is called at the end.</summary>
    public static void Begin(World world, Workload.Workload workload, Chance chance, Action over)
    {
        var trouble = new LastingTrouble(world, workload, chance, over);
        world.AnswersGetLost = false;
        // Where nobody writes, whoever is cut off has as good a log as the leader.
        workload.Resting = chance.Hit(0.4);
        world.Scheduler.After(workload.Resting ? RestUs : 0, trouble.Begin);
    }

    private void Begin()
    {
        var (what, begin) = _chance.Pick(Kinds());
        _world.Count($"lasting {what}");
        var victim = Nemesis.Leading(_world, _chance) is { } leader && _chance.Hit(0.6) ? leader : _chance.Pick(_world.Nodes);
        _world.Say(victim, $"is in lasting trouble: {what}");
        begin(victim);
        _lastAskUs = _world.Scheduler.NowUs + LengthUs - ServeUs;
        _world.Scheduler.After(SettleUs, Watch);
        _world.Scheduler.After(LengthUs, End);
    }

    private IReadOnlyList<(string What, Action<SimulatedNode> Begin)> Kinds() =>
    [
        ("one-way cut", victim => Cut((from, to) => from == victim.Number && to == OtherThan(victim))),
        ("one-way cut", victim => Cut((from, to) => from == OtherThan(victim) && to == victim.Number)),
        ("cut link", victim => Cut((from, to) => (from, to) == (victim.Number, OtherThan(victim)) || (from, to) == (OtherThan(victim), victim.Number))),
        ("mute", victim => Cut((from, _) => from == victim.Number)),
        ("deaf", victim => Cut((_, to) => to == victim.Number)),
        ("bridge", Bridge),
        ("flapping", Flap),
        ("stalled disk", victim => victim.Timing.StalledUntilUs = _world.Scheduler.NowUs + LengthUs),
        ("stopped", Stop),
        ("dead", Kill),
        .. Enumerable.Repeat<(string, Action<SimulatedNode>)>(("left behind", LeaveBehind), MayBeLeftBehind ? 4 : 0),
    ];

    // Where leaders wait for nobody, and snapshots follow each other fast, whoever was away may never catch up.
    private bool MayBeLeftBehind => _world.Options.Replica is { Raft.MaxLagBytes: > 0, SnapshotLogBytes: < 1 << 20 };

    private int OtherThan(SimulatedNode victim) => (victim.Number + 1) % _world.Nodes.Count;

    private void Cut(Func<int, int, bool> which)
    {
        for (var from = 0; from < _world.Nodes.Count; from++)
        {
            for (var to = 0; to < _world.Nodes.Count; to++)
            {
                _world.Network.SetLastingCut(from, to, from != to && which(from, to));
            }
        }
    }

    // Two halves that both reach the victim, and not each other (Cloudflare 2020): the larger one and the victim are a majority.
    private void Bridge(SimulatedNode victim)
    {
        var side = _world.Nodes.Select(_ => _chance.Hit(0.5)).ToArray();
        Cut((from, to) => from != victim.Number && to != victim.Number && side[from] != side[to]);
    }

    // Comes back again and again, each time with an election of its own on its mind.
    private void Flap(SimulatedNode victim)
    {
        if (_ended)
        {
            return;
        }

        Cut((from, to) => from == victim.Number || to == victim.Number);
        _world.Scheduler.After(_chance.Between(400_000, 1_200_000), () =>
        {
            if (!_ended)
            {
                Cut((_, _) => false);
                _world.Scheduler.After(_chance.Between(20_000, 300_000), () => Flap(victim));
            }
        });
    }

    private void Stop(SimulatedNode victim)
    {
        if (victim.Up)
        {
            victim.Pause();
            _mend = victim.Continue;
        }
    }

    private void Kill(SimulatedNode victim)
    {
        victim.Stop(power: _chance.Hit(0.5));
        _mend = () => _world.StartIfDown(victim);
    }

    // While it was away the log went on, and goes on while it is sent what it lacks: it must catch up all the same (hazard 28).
    private void LeaveBehind(SimulatedNode victim)
    {
        victim.Stop(power: _chance.Hit(0.5));
        _mend = () => _world.StartIfDown(victim);
        _world.Scheduler.After(AwayUs, _mend);
        var installed = victim.Replicas.Select(r => r.Installed).ToList();
        _world.Scheduler.After(LengthUs - ServeUs, () =>
        {
            var committed = _world.Shards.Select(s => (s.Shard, Index: _world.LeaderOf(s.Shard)?.Replica.Raft.CommitIndex ?? LogIndex.Zero)).ToList();
            _world.Scheduler.After(ServeUs / 2, () =>
            {
                if (victim.Replicas.Zip(installed).FirstOrDefault(r => r.First.Installed > r.Second + MaxInstalled).First is { } tired)
                {
                    throw new SimulationException($"LastingTrouble: {tired.Name} was sent more than {MaxInstalled} snapshots after it came back: the log does not wait for them (hazard 28)");
                }

                foreach (var (shard, index) in committed)
                {
                    if (World.ReplicaOn(victim, shard) is { } hosted && hosted.Replica.LastApplied < index)
                    {
                        throw new SimulationException($"LastingTrouble: {hosted.Name} has applied {hosted.Replica.LastApplied} of {index}, {(LengthUs - AwayUs) / 1_000_000} s after it came back (hazard 28)");
                    }
                }
            });
        });
    }

    private void Watch()
    {
        foreach (var shard in _world.Shards)
        {
            AskNow(shard.Shard, _world.NewestTerm(shard.Shard));
        }
    }

    private void AskNow(ShardId shard, Term newest)
    {
        if (_world.Scheduler.NowUs >= _lastAskUs)
        {
            return;
        }

        if (_world.NewestTerm(shard) > newest)
        {
            throw new SimulationException($"LastingTrouble: somebody raises the term of shard {shard} though a majority of sound nodes has a leader (hazard 3)");
        }

        var leader = _world.LeaderOf(shard) ?? throw new SimulationException($"LastingTrouble: nobody leads shard {shard} though a majority is sound");
        if (!_workload.Resting && leader.Node.Timing.StalledUntilUs > _world.Scheduler.NowUs)
        {
            throw new SimulationException($"LastingTrouble: {leader.Name} still leads though its disk stalls (hazard 5)");
        }

        var key = _workload.Keys.Final.First(f => f.Shard == shard).Key;
        _asked++;
        var startUs = _world.Scheduler.NowUs;
        var request = !_workload.Resting && _chance.Hit(0.7)
            ? new ClientRequest(0, OperationKind.Put, key, $"asked-{shard}-{_asked}", 0, null, default, true, 0, startUs)
            : new ClientRequest(0, OperationKind.Get, key, null, 0, null, default, true, 0, startUs);
        var ended = false;
        _workload.Clients[0].Try(request, result => ended = result?.Code is ResultCode.Ok or ResultCode.NotFound, leader.Node);
        _world.Scheduler.After(ServeUs, () =>
        {
            if (!ended)
            {
                throw new SimulationException($"LastingTrouble: shard {shard}, led by {leader.Name}, has not served a {request.Kind} for {ServeUs / 1000} ms though a majority is sound");
            }
        });
        _world.Scheduler.After(AskEveryUs, () => AskNow(shard, newest));
    }

    private void End()
    {
        _ended = true;
        Cut((_, _) => false);
        _mend();
        _world.Counts["asked in lasting trouble"] = _world.Counts.GetValueOrDefault("asked in lasting trouble") + _asked;
        _world.AnswersGetLost = true;
        _workload.Resting = false;
        _world.Transcript.Line("the lasting trouble is over");
        _over();
    }
}
