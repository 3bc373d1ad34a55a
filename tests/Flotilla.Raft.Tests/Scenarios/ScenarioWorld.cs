using System.Globalization;
using System.Text;
using Flotilla.Raft.Membership;
using Flotilla.Raft.Quiet;

namespace Flotilla.Raft.Tests.Scenarios;

/// <summary>
/// The nodes and the network of one scenario, and its commands. Nothing moves by itself: time passes, messages arrive and
/// disks sync when a line of the scenario says so. See <c>scenarios/README.md</c> for the commands.
/// </summary>
internal sealed class ScenarioWorld
{
    private readonly SortedDictionary<NodeId, Host> _hosts = [];
    private readonly List<(NodeId From, Incarnation Incarnation, NodeId To, Message Message)> _network = [];
    private readonly HashSet<(NodeId From, NodeId To)> _cuts = [];
    private readonly Dictionary<LogIndex, Entry> _applied = [];
    private readonly Dictionary<ulong, (string[] Applied, Configuration Configuration)> _snapshots = [];
    private readonly StringBuilder _said = new();
    private RaftOptions _options = new();
    private ulong _seed = 1;
    private ulong _incarnations = 100;
    private bool _quiet;
    private bool _nodeHeartbeats;

    /// <summary>A node's replica; the node must run.</summary>
    public Raft RaftOf(string id) => At(id).Raft!;

    /// <summary>A node's clock.</summary>
    public Instant NowOf(string id) => At(id).Now;

    /// <summary>Carries out one command and returns what happened.</summary>
    public string Run(string command)
    {
        _said.Clear();
        _quiet = false;
        var words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words[^1] == "quietly")
        {
            _quiet = true;
            words = words[..^1];
        }

        Carry(words);
        _quiet = false;
        return _said.ToString();
    }

    public void Say(string line)
    {
        if (!_quiet)
        {
            _said.Append(line).Append('\n');
        }
    }

    public void Post(Host from, Effect.Send send)
    {
        var lost = _cuts.Contains((from.Id, send.To));
        Say($"{from.Id} -> {send.To} {Text.Of(send.Message)}{(lost ? "  (lost)" : "")}");
        if (!lost)
        {
            _network.Add((from.Id, from.Incarnation, send.To, send.Message));
        }
    }

    /// <summary>State Machine Safety: no two nodes ever apply different entries at one index.</summary>
    public void CheckApplied(NodeId node, Entry entry)
    {
        if (_applied.TryGetValue(entry.Index, out var first) && (first.Term != entry.Term || !first.Payload.Span.SequenceEqual(entry.Payload.Span)))
        {
            throw new InvalidOperationException($"{node} applies {Text.Of(entry)} where {Text.Of(first)} was applied before");
        }

        _applied[entry.Index] = entry;
    }

    /// <summary>Draws an id for a snapshot of what was applied.</summary>
    public SnapshotMeta AddSnapshot(LogIndex index, Term term, long bytes, IEnumerable<string> applied, Configuration configuration)
    {
        var snapshot = new SnapshotMeta(index, term, (ulong)_snapshots.Count + 1, bytes);
        _snapshots[snapshot.Id] = ([.. applied], configuration);
        return snapshot;
    }

    public IReadOnlyList<string> StateOf(SnapshotMeta snapshot) => _snapshots[snapshot.Id].Applied;

    public Configuration ConfigurationOf(SnapshotMeta snapshot) => _snapshots[snapshot.Id].Configuration;

    private void Carry(string[] words)
    {
        switch (words[0])
        {
            case "options":
                SetOptions(words[1..]);
                break;
            case "cluster":
                Create(words[1..]);
                break;
            case "log":
                Preset(At(words[1]), words[2..]);
                break;
            case "start":
                Each(words, host =>
                {
                    host.Start(_seed++);
                    host.Pump();
                });
                break;
            case "tick":
                At(words[1]).Advance(Number(words[2]));
                At(words[1]).Pump();
                break;
            case "pass":
                Pass(Number(words[1]));
                break;
            case "deliver":
                Deliver(words[1..], lose: false);
                break;
            case "lose":
                Deliver(words[1..], lose: true);
                break;
            case "run":
                RunUntilQuiet();
                break;
            case "cut" or "heal":
                Cut(words[1..], words[0] == "cut");
                break;
            case "propose":
                Propose(At(words[1]), words[2]);
                break;
            case "read":
                At(words[1]).Raft!.RequestRead((ulong)Number(words[2]), At(words[1]).Now);
                At(words[1]).Pump();
                break;
            case "hold":
                At(words[1]).DiskHeld = true;
                break;
            case "sync":
                At(words[1]).Sync(words.Length > 2 ? (ulong)Number(words[2]) : ulong.MaxValue);
                At(words[1]).Pump();
                break;
            case "release":
                At(words[1]).DiskHeld = At(words[1]).DiskUnreadable = false;
                At(words[1]).Sync(ulong.MaxValue);
                At(words[1]).Pump();
                break;
            case "crash":
                At(words[1]).Crash();
                _network.RemoveAll(m => m.To.Value == words[1]);
                break;
            case "wipe":
                At(words[1]).Wipe(new Incarnation(_incarnations++));
                break;
            case "gone":
                At(words[1]).Raft!.PeerGone(new NodeId(words[2]), At(words[1]).Now);
                At(words[1]).Pump();
                break;
            case "heard":
                At(words[1]).Raft!.LeaderWasHeard(At(words[1]).Now);
                break;
            case "silent":
                At(words[1]).Raft!.LeaderIsSilent(At(words[1]).Now);
                At(words[1]).Pump();
                break;
            case "busy" or "idle":
                At(words[1]).Raft!.StaysAwake = words[0] == "busy";
                break;
            case "transfer":
                Say(At(words[1]).Raft!.TransferLeadership(words.Length > 2 ? new NodeId(words[2]) : default, At(words[1]).Now) ? "begun" : "refused");
                At(words[1]).Pump();
                break;
            case "snapshot":
                At(words[1]).TakeSnapshot(words.Length > 2 ? (long)Number(words[2]) : 100);
                At(words[1]).Pump();
                break;
            case "damage":
                At(words[1]).SnapshotDamaged = true;
                break;
            case "join":
                _hosts[new NodeId(words[1])] = new Host(new NodeId(words[1]), [], this) { Incarnation = new Incarnation(_incarnations++), Options = _options, HasNodeHeartbeats = _nodeHeartbeats };
                At(words[1]).Start(_seed++);
                At(words[1]).Pump();
                break;
            case "add":
                Say(At(words[1]).Raft!.AddMember(new NodeId(words[2]), At(words[2]).Incarnation, $"{words[2]}:1", At(words[1]).Now).ToString());
                At(words[1]).Pump();
                break;
            case "remove":
                Say(At(words[1]).Raft!.RemoveMember(new NodeId(words[2]), At(words[1]).Now).ToString());
                At(words[1]).Pump();
                break;
            case "chain":
                At(words[1]).Raft!.Chain = [.. words[2..].Select(word => new NodeId(word))];
                break;
            case "full":
                At(words[1]).Raft!.HasNoRoom = true;
                break;
            case "emptied":
                At(words[1]).Raft!.HasNoRoom = false;
                break;
            case "reluctant":
                At(words[1]).Raft!.Reluctant = true;
                break;
            case "unreadable":
                At(words[1]).DiskUnreadable = true;
                break;
            case "show":
                Each(words, Show);
                break;
            default:
                throw new InvalidOperationException($"no such command: {words[0]}");
        }
    }

    private void SetOptions(string[] words)
    {
        foreach (var word in words)
        {
            var (name, value) = (word.Split('=')[0], int.Parse(word.Split('=')[1], CultureInfo.InvariantCulture));
            _options = name switch
            {
                "max-append-bytes" => _options with { MaxAppendBytes = value },
                "relay-stall-ms" => _options with { RelayStallMs = value },
                "max-inflight" => _options with { MaxInflightAppends = value },
                "max-uncommitted-bytes" => _options with { MaxUncommittedBytes = value },
                "full-disk-bytes" => _options with { FullDiskBytes = value },
                "log-tail-bytes" => _options with { LogTailBytes = value },
                "snapshot-chunk-bytes" => _options with { SnapshotChunkBytes = value },
                "snapshot-bytes-per-second" => _options with { SnapshotBytesPerSecond = value },
                "log-cache-bytes" => _options with { LogCacheBytes = value },
                "quiet-after-ms" => WithNodeHeartbeats(value),
                "seed" => Seeded((ulong)value),
                _ => throw new InvalidOperationException($"no such option: {name}"),
            };
        }
    }

    private RaftOptions WithNodeHeartbeats(int quietAfterMs)
    {
        _nodeHeartbeats = true;
        return _options with { QuietAfterMs = quietAfterMs };
    }

    private RaftOptions Seeded(ulong seed)
    {
        _seed = seed;
        return _options;
    }

    /// <summary>Makes nodes that have met and may vote; with <c>empty</c> as they come from the factory.</summary>
    private void Create(string[] words)
    {
        var empty = words[^1] == "empty";
        var ids = (empty ? words[..^1] : words).Select(word => new NodeId(word)).ToArray();
        foreach (var id in ids)
        {
            _hosts[id] = new Host(id, ids, this) { Incarnation = new Incarnation(_incarnations++), Options = _options, HasNodeHeartbeats = _nodeHeartbeats };
        }

        if (!empty)
        {
            foreach (var host in _hosts.Values)
            {
                host.Identity = new IdentityState(true, [.. _hosts.Values.Where(h => h != host).Select(h => new KnownPeer(h.Id, h.Incarnation, true))]);
                host.HardState = new HardState(Term.Zero, default, default);
            }
        }
    }

    /// <summary>Puts a log on a node's disk before its start, one term for each entry: <c>log n1 1 1 2 term=3</c>.</summary>
    private static void Preset(Host host, string[] words)
    {
        host.Disk.Clear();
        var term = Term.Zero;
        foreach (var word in words)
        {
            if (word.StartsWith("term=", StringComparison.Ordinal))
            {
                term = new Term(ulong.Parse(word[5..], CultureInfo.InvariantCulture));
                continue;
            }

            term = new Term(ulong.Parse(word, CultureInfo.InvariantCulture));
            var index = new LogIndex((ulong)host.Disk.Count + 1);
            host.Disk.Add(new Entry(index, term, EntryKind.Command, Encoding.UTF8.GetBytes($"t{term.Value}#{index}")));
        }

        host.HardState = host.HardState with { Term = term };
    }

    private void Propose(Host host, string text)
    {
        var payload = text.EndsWith('B') && int.TryParse(text[..^1], out var size) ? new byte[size] : Encoding.UTF8.GetBytes(text);
        var outcome = host.Raft!.Propose(EntryKind.Command, payload, host.Now, out var index);
        Say(outcome == ProposeOutcome.Accepted ? $"{host.Id} accepts {text} at {index}" : $"{host.Id} refuses {text}: {outcome}");
        host.Pump();
    }

    /// <summary>Delivers (or loses) the messages that wait now, of one link <c>n1->n2</c>, to one node, or all; answers wait for the next command.</summary>
    private void Deliver(string[] words, bool lose)
    {
        var batch = _network.Where(m => words.Length == 0 || words[0] == $"{m.From}->{m.To}" || words[0] == m.To.Value).ToList();
        if (words.Length > 1)
        {
            // The n-th of them only, counted from 1: to reorder.
            batch = [batch[(int)Number(words[1]) - 1]];
        }

        foreach (var message in batch)
        {
            _network.Remove(message);
            if (!lose && _hosts[message.To].Raft is { } raft)
            {
                raft.Receive(message.From, message.Incarnation, message.Message, _hosts[message.To].Now);
                _hosts[message.To].Pump();
            }
        }

        Each([""], host => host.Pump());
    }

    /// <summary>Time passes for all, 50 ms at a time, and every message arrives; node heartbeats too.</summary>
    private void Pass(double ms)
    {
        for (; ms > 0; ms -= 50)
        {
            Each([""], host =>
            {
                host.Advance(Math.Min(ms, 50));
                StandIn(host);
                host.Pump();
            });
            RunUntilQuiet();
        }
    }

    /// <summary>A quiet follower hears its leader's node, if that is the process it relies on and the way is open; or has not heard it for too long.</summary>
    private void StandIn(Host host)
    {
        if (host.Raft is not { IsQuiet: true, Role: Role.Follower } raft)
        {
            return;
        }

        var leader = _hosts[raft.Leader];
        if (leader.Raft is not null && new Pulse(leader.Incarnation, leader.Boot, 0) == raft.LeaderPulse && !_cuts.Contains((leader.Id, host.Id)))
        {
            raft.LeaderWasHeard(host.Now);
        }
        else if (host.Now.MsSince(raft.LastLeaderContact) >= _options.ElectionTimeoutMs)
        {
            raft.LeaderIsSilent(host.Now);
        }
    }

    private void RunUntilQuiet()
    {
        Each([""], host => host.Pump());
        for (var i = 0; _network.Count > 0; i++)
        {
            if (i > 1000)
            {
                throw new InvalidOperationException("the network never comes to rest");
            }

            Deliver([], lose: false);
        }
    }

    private void Cut(string[] words, bool cut)
    {
        var links =
            from a in _hosts.Keys
            from b in _hosts.Keys
            where a != b && (words.Length == 0 || words[0] == $"{a}->{b}" || words[0] == a.Value || words[0] == b.Value)
            select (a, b);
        foreach (var link in links.ToArray())
        {
            _ = cut ? _cuts.Add(link) : _cuts.Remove(link);
        }

        _network.RemoveAll(m => _cuts.Contains((m.From, m.To)));
    }

    private void Show(Host host)
    {
        if (host.Raft is not { } raft)
        {
            Say($"{host.Id} is down, disk {host.HardState} [{Text.Of(host.Disk)}]");
            return;
        }

        var terms = new List<string>();
        for (var index = raft.Log.Base.Index.Next; index <= raft.Log.LastIndex; index = index.Next)
        {
            terms.Add(raft.Log.TermAt(index)!.Value.Value.ToString(CultureInfo.InvariantCulture));
        }

        Say($"{host.Id} {raft.Role} {raft.Term} leader={raft.Leader} commit={raft.CommitIndex} log=[{(raft.Log.Base.Index > LogIndex.Zero ? $"..{raft.Log.Base.Index}/{raft.Log.Base.Term} " : "")}{string.Join(' ', terms)}]{(raft.SnapshotIsSuspect ? " snapshot suspect" : "")}{(raft.ConfigurationIndex > LogIndex.Zero ? $" {{{raft.Configuration}}}" : "")}{(raft.Admitted ? "" : " not admitted")}{(raft.IsRemoved ? " removed" : "")}{(raft.IsQuiet ? " quiet" : "")}{(raft.SeatIsTaken ? " seat taken" : "")}{(raft.FedAround.Count > 0 ? $" feeds {string.Join(' ', raft.FedAround)}" : "")}");
    }

    private void Each(string[] words, Action<Host> action)
    {
        foreach (var host in words.Length > 1 ? words[1..].Select(At) : _hosts.Values)
        {
            action(host);
        }
    }

    private Host At(string id) => _hosts.TryGetValue(new NodeId(id), out var host) ? host : throw new InvalidOperationException($"no such node: {id}");

    private static double Number(string word) => double.Parse(word, CultureInfo.InvariantCulture);
}
