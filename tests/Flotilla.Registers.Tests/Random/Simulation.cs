using Flotilla.Linearizability;
using Flotilla.Raft;
using Flotilla.Registers.Epochs;
using Flotilla.Registers.Tests.Harness;

namespace Flotilla.Registers.Tests.Random;

/// <summary>
/// Replicas of one shard under virtual time, from one seed: messages are lost, late, repeated and in any order, links are cut, also one way, disks are slow
/// and forget what was not synced, processes die and start again, clocks differ, epochs end and begin, leaders of merges are replaced and go on all the same.
/// </summary>
internal sealed class Simulation
{
    private const long EndOfFaultsUs = 1_200_000;
    private const long EndOfCallsUs = 1_600_000;
    private const long EndUs = 3_000_000;

    private readonly RegisterKind _kind;
    private readonly double _loss;
    private readonly double _slow;
    private readonly double _slowDisk;
    private readonly long _calmUs;
    private readonly PriorityQueue<Action, (long AtUs, long Place)> _events = new();
    private readonly HashSet<(Voter From, Voter To)> _cut = [];
    private readonly long[] _skewMs;
    private readonly List<LogEntry> _log = [];
    private readonly ShardState _truth;
    private readonly Dictionary<(uint ModeEpoch, string Key), Data.Version> _left = [];
    private SplitMix64 _chance;
    private long _places;
    private Voter? _leader;
    private long _leadsUntilUs;

    public Simulation(ulong seed, RegisterKind kind, int voters)
    {
        _chance = new SplitMix64(seed);
        _kind = kind;
        _loss = _chance.Below(3) * 0.15;
        _slow = 0.05 + (_chance.Below(3) * 0.15);
        _slowDisk = 0.03 + (_chance.Below(3) * 0.2);
        _calmUs = _chance.Chance(0.5) ? 20_000 : 60_000;
        var options = new RegisterOptions { RetryMs = _chance.Chance(0.5) ? 10 : 50, SlowRetryMs = 100, CompareMs = 60, MaxItems = 3, MaxQueuedKeys = 6, MaxBatches = 2, MaxGroups = 2 };
        _truth = new ShardState(null);
        Hosts = [.. Enumerable.Range(0, voters).Select(i => new Host(new Voter((ushort)i), options, _log) { IsDiskHeld = true })];
        _skewMs = [.. Hosts.Select(_ => _chance.Below(400))];
        Clients = [.. Enumerable.Range(0, 6).Select(i => new Client(this, i))];
        foreach (var host in Hosts)
        {
            Wire(host);
        }
    }

    public Host[] Hosts { get; }

    public Client[] Clients { get; }

    public long NowUs { get; private set; }

    public bool IsHealed => NowUs >= EndOfFaultsUs;

    /// <summary>Clients ask no more, so that what is left to be done can be done.</summary>
    public bool IsQuiet => NowUs >= EndOfCallsUs;

    public List<Operation> History { get; } = [];

    public int Epochs { get; private set; }

    public int Reopened { get; private set; }

    public int Crashes { get; private set; }

    public long Below(long bound) => _chance.Below(bound);

    public bool Hit(double probability) => _chance.Chance(probability);

    public void After(long us, Action then) => _events.Enqueue(then, (NowUs + us, ++_places));

    /// <summary>A step of a replica, by its own clocks.</summary>
    public void Step(Host host, RegisterInput input)
    {
        Touch(host);
        host.Step(input);
    }

    public void Run()
    {
        foreach (var host in Hosts)
        {
            Touch(host);
            host.Start();
            Tick(host);
            Apply(host);
        }

        Client.Prepare(this);
        Operate();
        Trouble();
        Array.ForEach(Clients, c => c.Begin());
        while (_events.TryDequeue(out var then, out var at) && at.AtUs < EndUs)
        {
            NowUs = at.AtUs;
            then();
        }

        Array.ForEach(Clients, c => c.GiveUp());
        CheckAgreement();
    }

    /// <summary>A write was acknowledged: whatever epoch it was of, if that has ended, its end left this or something newer.</summary>
    public void Acknowledged(string key, Data.Version version) =>
        Assert.True(!_left.TryGetValue((version.ModeEpoch, key), out var left) || left.CompareTo(version) >= 0, $"{key}: {Text.Of(version)} was acknowledged, and its epoch left {Text.Of(left)}");

    private void Touch(Host host) => host.Now = new Clocks(NowUs, 1_000_000 + (NowUs / 1000) + _skewMs[host.Id.Number]);

    private void Wire(Host host)
    {
        host.Sending = (to, message) =>
        {
            for (var copies = IsHealed || !Hit(0.05) ? 1 : 2; copies > 0; copies--)
            {
                if (!_cut.Contains((host.Id, to)) && (IsHealed || !Hit(_loss)))
                {
                    After(100 + Below(Hit(_slow) && !IsHealed ? 40_000 : 2000), () => Deliver(host.Id, Hosts[to.Number], message));
                }
            }
        };
        host.Persisting = _ =>
        {
            var boot = host.Boot;
            After(100 + Below(Hit(_slowDisk) && !IsHealed ? 40_000 : 1500), () =>
            {
                if (host.Replica is not null && host.Boot == boot)
                {
                    Touch(host);
                    host.Sync(1);
                }
            });
        };
        host.Merging = merged =>
        {
            Append(new EpochStep.Merge(merged.Epoch, merged.Items, merged.IsLast));
            var boot = host.Boot;
            After(500 + Below(3000), () =>
            {
                if (host.Replica is not null && host.Boot == boot)
                {
                    Step(host, new RegisterInput.MergeOn(merged.Epoch));
                }
            });
        };
        host.Answering = (call, answer) => Clients[call.Value % (ulong)Clients.Length].Answered(call, answer);
    }

    private void Deliver(Voter from, Host to, RegisterMessage message)
    {
        if (to.Replica is not null && !_cut.Contains((from, to.Id)))
        {
            Step(to, new RegisterInput.Received(from, message));
        }
    }

    private void Tick(Host host)
    {
        if (host.Replica is { } replica && replica.NextDueUs <= NowUs)
        {
            Step(host, new RegisterInput.Tick());
        }

        After(2000, () => Tick(host));
    }

    // Each replica applies the log at its own pace, and now and then not for a while.
    private void Apply(Host host)
    {
        if (host.Replica is not null)
        {
            Touch(host);
            _ = host.ApplyNext();
        }

        After(200 + Below(Hit(0.03) && !IsHealed ? 200_000 : 4000), () => Apply(host));
    }

    private void Append(EpochStep step) => Append(new LogEntry(step));

    private void Append(LogEntry entry)
    {
        _log.Add(entry);
        var modeEpoch = _truth.Epochs.ModeEpoch;
        if (_truth.Apply(entry) is RegisterInput.End)
        {
            foreach (var key in Client.Keys)
            {
                _left[(modeEpoch, key)] = _truth.Log.VersionOf(Text.B(key));
            }

            foreach (var client in Clients)
            {
                client.CheckAcknowledged(modeEpoch);
            }

            _truth.Log.Forget();
            Epochs++;
        }
    }

    // What a leader does: opens, seals, merges or opens again; a new leader now and then, also while the one before goes on.
    private void Operate()
    {
        if (!_truth.Epochs.IsRunning)
        {
            if (Hit(0.5))
            {
                Client.LogWrite(this, Append);
            }

            Append(new EpochStep.Open(_kind, ShardState.Names(Hosts.Length)));
        }
        else if (!_truth.Epochs.IsSealed)
        {
            if (!IsHealed)
            {
                Append(new EpochStep.Seal(_truth.Epochs.Epoch));
                (_leader, _leadsUntilUs) = (null, 0);
            }
        }
        else if (Hit(_kind == RegisterKind.Async ? 0.007 : 0.02))
        {
            Append(new EpochStep.Reopen(_truth.Epochs.Epoch));
            Reopened++;
        }
        else
        {
            Lead();
            After(1000 + Below(3000), Operate);
            return;
        }

        After(_truth.Epochs is { IsRunning: true, IsSealed: false } ? 20_000 + Below(300_000) : 1000 + Below(20_000), Operate);
    }

    private void Lead()
    {
        if (_leader is { } old && Hosts[old.Number].Replica is not null && NowUs < _leadsUntilUs)
        {
            return;
        }

        var able = Hosts.Where(h => h.Replica?.Standing == EpochStanding.Sealed && h.Replica.Terms!.Epoch == _truth.Epochs.Epoch).ToArray();
        if (able.Length > 0)
        {
            var next = able[Below(able.Length)];
            if (_leader is { } replaced && Hosts[replaced.Number].Replica is not null && Hit(0.5))
            {
                Step(Hosts[replaced.Number], new RegisterInput.MergeOff());
            }

            (_leader, _leadsUntilUs) = (next.Id, NowUs + 20_000 + Below(150_000));
            Step(next, new RegisterInput.Merge(_truth.Epochs.Epoch, _kind == RegisterKind.Quorum ? (Hosts.Length / 2) + 1 : Hosts.Length));
        }
    }

    private void Trouble()
    {
        if (IsHealed)
        {
            _cut.Clear();
            Array.ForEach(Hosts, h => Restart(h));
            return;
        }

        var host = Hosts[Below(Hosts.Length)];
        switch (Below(7))
        {
            case 0:
                _cut.Clear();
                break;
            case 1:
                foreach (var other in Hosts)
                {
                    _ = _cut.Add((host.Id, other.Id));
                    _ = _cut.Add((other.Id, host.Id));
                }

                break;
            case 2:
                _ = _cut.Add((host.Id, Hosts[Below(Hosts.Length)].Id));
                break;
            case 3 or 4:
                Crash(host);
                break;
            case 5: // the power goes everywhere
                Array.ForEach(Hosts, Crash);
                break;
            default:
                if (host.Replica is not null)
                {
                    host.Checkpoint();
                }

                break;
        }

        After(3000 + Below(_calmUs), Trouble);
    }

    private void Crash(Host host)
    {
        if (host.Replica is not null)
        {
            Crashes++;
            host.Crash(Hit(0.5) ? 0 : (int)Below(host.Unsynced.Count + 1));
            Array.ForEach(Clients, c => c.Lost(host));
            After(1000 + Below(_calmUs), () => Restart(host));
        }
    }

    private void Restart(Host host)
    {
        if (host.Replica is null)
        {
            Touch(host);
            host.Start((int)Below(host.State.Applied + 1));
        }
    }

    // In the end all replicas have an epoch open and hold the same, or, by majorities, answer the same.
    private void CheckAgreement()
    {
        Assert.All(Hosts, host => Assert.Equal((EpochStanding.Open, _truth.Epochs.Epoch), (host.Replica!.Standing, host.Replica.Terms!.Epoch)));
        if (_kind == RegisterKind.Async)
        {
            var overlays = Hosts.Select(host =>
            {
                var items = new List<Item>();
                _ = host.Replica!.Overlay.Read([], int.MaxValue, int.MaxValue, items);
                return Text.Of(items);
            }).Distinct(StringComparer.Ordinal).ToArray();
            Assert.True(overlays.Length == 1, string.Join("\n", overlays));
            Assert.All(Hosts, host => Assert.Equal(0, host.Replica!.Unsent));
        }
    }
}
