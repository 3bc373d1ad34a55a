using System.Globalization;
using System.Text;
using Flotilla.Registers.Epochs;
using Flotilla.Registers.Tests.Harness;
using Words = Flotilla.Registers.Tests.Harness.Text;

namespace Flotilla.Registers.Tests.Scenarios;

/// <summary>Replicas whose log, messages, disks and clocks move only as a story says. scenarios/README.md lists the commands.</summary>
internal sealed class ScenarioWorld
{
    private readonly List<LogEntry> _log = [];
    private readonly List<(Voter From, Voter To, RegisterMessage Message)> _messages = [];
    private readonly HashSet<(Voter From, Voter To)> _cut = [];
    private readonly HashSet<Voter> _late = [];
    private readonly Dictionary<CallId, RegisterInput> _calls = [];
    private readonly Dictionary<CallId, Attempt> _unclear = [];
    private readonly Dictionary<string, string> _options = [];
    private readonly StringBuilder _out = new();
    private Host[] _hosts = [];
    private ulong _lastCall;

    public string Run(string command)
    {
        _out.Clear();
        var words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var quietly = words[^1] == "quietly";
        words = quietly ? words[..^1] : words;
        Do(words[0], words[1..]);
        return quietly ? "" : _out.ToString();
    }

    private void Do(string verb, string[] words)
    {
        switch (verb)
        {
            case "options":
                Array.ForEach(words, w => _options[w.Split('=')[0]] = w.Split('=')[1]);
                break;
            case "replicas":
                MakeHosts(int.Parse(words[0], CultureInfo.InvariantCulture));
                break;
            case "log": // k=v: written in a log mode, applied by all
                Append(new LogEntry(null, words[0].Split('=')[0], words[0].Split('=')[1]));
                break;
            case "open": // quorum | async
                Append(new LogEntry(new EpochStep.Open(Enum.Parse<RegisterKind>(words[0], ignoreCase: true), ShardState.Names(_hosts.Length))));
                break;
            case "seal":
                Append(new LogEntry(new EpochStep.Seal(Newest().Epoch)));
                break;
            case "reopen":
                Append(new LogEntry(new EpochStep.Reopen(Newest().Epoch)));
                break;
            case "late":
                _late.UnionWith(words.Select(w => Of(w).Id));
                break;
            case "apply":
                _late.ExceptWith(words.Select(w => Of(w).Id));
                Apply(words);
                break;
            case "merge": // v0 [needed=2]
                Of(words[0]).Step(new RegisterInput.Merge(Of(words[0]).State.Epochs.Epoch, int.Parse(Option(words, "needed=") ?? $"{_hosts.Length / 2 + 1}", CultureInfo.InvariantCulture)));
                break;
            case "put" or "del" or "get" or "retry":
                Call(verb, words);
                break;
            case "tick":
                Tick(words);
                break;
            case "wall": // v0's wall clock is so many ms ahead
                var ahead = Of(words[0]);
                ahead.Now = ahead.Now with { WallMs = ahead.Now.WallMs + long.Parse(words[1], CultureInfo.InvariantCulture) };
                break;
            case "deliver" or "lose" or "repeat":
                Deliver(verb, words);
                break;
            case "run":
                for (var i = 0; _messages.Count > 0; i++)
                {
                    Deliver("deliver", []);
                    Assert.True(i < 200, "It goes on for ever.");
                }

                break;
            case "cut" or "heal":
                Cut(verb == "cut", words);
                break;
            case "hold":
                Of(words[0]).IsDiskHeld = true;
                break;
            case "sync":
                Of(words[0]).Sync(words.Length > 1 ? int.Parse(words[1], CultureInfo.InvariantCulture) : int.MaxValue);
                break;
            case "release":
                Of(words[0]).IsDiskHeld = false;
                Of(words[0]).Sync();
                break;
            case "crash":
                Of(words[0]).Crash();
                _messages.RemoveAll(m => m.To == Of(words[0]).Id);
                break;
            case "start":
                Of(words[0]).IsDiskHeld = false;
                Of(words[0]).Start();
                break;
            case "checkpoint":
                Of(words[0]).Checkpoint();
                break;
            case "show":
                Show(words);
                break;
            default:
                throw new InvalidOperationException($"There is no command '{verb}'.");
        }
    }

    private static string? Option(string[] words, string name) => words.FirstOrDefault(w => w.StartsWith(name, StringComparison.Ordinal))?[name.Length..];

    private void Print(string line) => _out.Append(line).Append('\n');

    private Host Of(string word) => _hosts[int.Parse(word[1..], CultureInfo.InvariantCulture)];

    private EpochState Newest() => _hosts.MaxBy(h => h.State.Applied)!.State.Epochs;

    private void MakeHosts(int count)
    {
        var options = new RegisterOptions
        {
            MaxItems = int.Parse(_options.GetValueOrDefault("max-items", "256"), CultureInfo.InvariantCulture),
            MaxQueuedKeys = int.Parse(_options.GetValueOrDefault("max-queued", "16384"), CultureInfo.InvariantCulture),
            MaxOverlayKeys = long.Parse(_options.GetValueOrDefault("max-overlay-keys", "1000000"), CultureInfo.InvariantCulture),
        };
        _hosts = [.. Enumerable.Range(0, count).Select(i => new Host(new Voter((ushort)i), options, _log) { Now = new Clocks(1_000_000, 5000) })];
        foreach (var host in _hosts)
        {
            host.Persisting = persist => Print($"{host.Id} persist {persist.Number} [{string.Join(", ", persist.Records.Select(Words.Of))}]");
            host.Sending = (to, message) =>
            {
                var lost = _cut.Contains((host.Id, to)) || _hosts[to.Number].Replica is null;
                Print($"{host.Id} -> {to} {Words.Of(message)}{(lost ? " (lost)" : "")}");
                if (!lost)
                {
                    _messages.Add((host.Id, to, message));
                }
            };
            host.Answering = (call, answer) =>
            {
                Print($"{host.Id} {call} {Words.Of(answer)}");
                if (answer is RegisterAnswer.Indeterminate unclear)
                {
                    _unclear[call] = unclear.Attempt;
                }
            };
            host.Merging = merged =>
            {
                Print($"{host.Id} merges {Words.Of(merged.Items)}{(merged.IsLast ? " last" : "")}");
                Append(new LogEntry(new EpochStep.Merge(merged.Epoch, merged.Items, merged.IsLast)));
                if (!merged.IsLast)
                {
                    host.Step(new RegisterInput.MergeOn(merged.Epoch));
                }
            };
            host.Start();
        }
    }

    private void Append(LogEntry entry)
    {
        _log.Add(entry);
        Apply([]);
    }

    private void Apply(string[] who)
    {
        foreach (var host in who.Length == 0 ? _hosts : [.. who.Select(Of)])
        {
            while (host.Replica is not null && !_late.Contains(host.Id) && host.ApplyNext())
            {
            }
        }
    }

    private void Call(string verb, string[] words)
    {
        var host = Of(words[0]);
        var call = new CallId(++_lastCall);
        var deadline = host.Now.NowUs + long.Parse(Option(words, "within=") ?? "1000", CultureInfo.InvariantCulture) * 1000;
        RegisterInput input;
        if (verb == "get")
        {
            input = new RegisterInput.Get(call, Words.B(words[1]), deadline);
        }
        else if (verb == "retry")
        {
            var first = new CallId(ulong.Parse(words[1][1..], CultureInfo.InvariantCulture));
            input = (RegisterInput.Write)_calls[first] with { Call = call, DeadlineUs = deadline, Retry = _unclear[first] };
        }
        else
        {
            var ttlMs = long.Parse(Option(words, "ttl=") ?? "0", CultureInfo.InvariantCulture);
            input = new RegisterInput.Write(call, Words.B(words[1]), verb == "del", verb == "del" ? default : Words.B(words[2]), ttlMs, deadline);
        }

        _calls[call] = input;
        Print($"{host.Id} {call}:");
        host.Step(input);
    }

    private void Tick(string[] words)
    {
        var ms = long.Parse(words[^1], CultureInfo.InvariantCulture);
        foreach (var host in words.Length == 1 ? _hosts : [Of(words[0])])
        {
            host.Now = new Clocks(host.Now.NowUs + (ms * 1000), host.Now.WallMs + ms);
            if (host.Replica is not null)
            {
                host.Step(new RegisterInput.Tick());
            }
        }
    }

    private void Deliver(string verb, string[] words)
    {
        var chosen = _messages.Where(m => words.Length == 0 || words[0] == $"{m.From}->{m.To}" || words[0] == $"{m.To}").ToArray();
        foreach (var message in chosen)
        {
            if (verb != "repeat")
            {
                _ = _messages.Remove(message);
            }

            if (verb != "lose" && _hosts[message.To.Number].Replica is not null)
            {
                _hosts[message.To.Number].Step(new RegisterInput.Received(message.From, message.Message));
            }
        }
    }

    private void Cut(bool cut, string[] words)
    {
        foreach (var a in _hosts)
        {
            foreach (var b in _hosts)
            {
                if (a != b && (words.Length == 0 || words.Any(w => w == $"{a.Id}->{b.Id}" || w == $"{a.Id}" || w == $"{b.Id}")))
                {
                    _ = cut ? _cut.Add((a.Id, b.Id)) : _cut.Remove((a.Id, b.Id));
                }
            }
        }
    }

    private void Show(string[] words)
    {
        foreach (var host in words.Length == 0 ? _hosts : [.. words.Select(Of)])
        {
            var items = new List<Item>();
            _ = host.Replica?.Overlay.Read([], int.MaxValue, int.MaxValue, items);
            Print(host.Replica is { } replica
                ? $"{host.Id} {replica.Standing}{(replica.Terms is { } terms ? $" {terms.Epoch} mode epoch {terms.ModeEpoch}" : "")} {Words.Of(items)}{(replica.Calls > 0 ? $" calls={replica.Calls}" : "")}"
                : $"{host.Id} is down");
        }
    }
}
