using System.Globalization;
using System.Text;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Tests.Handoff;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Scenarios;

/// <summary>Shards whose logs, messages and clocks move only as a story says. scenarios/README.md lists the commands.</summary>
internal sealed class ScenarioWorld
{
    private static readonly HandoffOptions Options = new() { RoundMs = 0, RetryMs = 100, SlowRetryMs = 400, PatienceMs = 1000, FrozenMs = 300, PurgeLooks = 3 };

    private readonly List<(int From, int To, HandoffMessage Message)> _messages = [];
    private readonly Dictionary<int, (HandoffDriver Driver, StateMachine Machine)> _stale = [];
    private readonly Dictionary<string, SessionId> _sessions = [];
    private readonly Dictionary<int, long> _clockMs = [];
    private readonly StringBuilder _out = new();
    private Shard[] _shards = [];
    private double _nowMs = 1000;

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
            case "shards": // each word: the tags that the shard owns, - for none
                _shards = [.. words.Select((tags, i) => new Shard(i + 1, Options, [.. tags.Where(c => c != '-').Select(c => Slot.Of(B($"{{{c}}}")))]))];
                break;
            case "clock":
                _clockMs[int.Parse(words[0])] = long.Parse(words[1]);
                break;
            case "put" or "del" or "incr" or "open":
                Write(verb, words);
                break;
            case "get":
                Print($"{Result(Of(words[0]).Machine.Get(B(words[1]), words.Contains("stale")))}");
                break;
            case "move":
                Begin(Of(words[0]), Of(words[1]), words[2]);
                break;
            case "cancel":
                Propose(Of(words[0]), new HandoffStep.Cancel(new LogIndex(ulong.Parse(words[1]))));
                break;
            case "state":
                Propose(Of(words[0]), new HandoffStep.SetState(Enum.Parse<ShardState>(words[1])));
                break;
            case "tick":
                _nowMs += double.Parse(words[0], CultureInfo.InvariantCulture);
                break;
            case "drive":
                Array.ForEach(words, w => Drive(Of(w)));
                break;
            case "commit":
                Commit(Of(words[0]), words.Length > 1 ? int.Parse(words[1]) : int.MaxValue);
                break;
            case "deliver" or "lose" or "repeat":
                Deliver(verb, words);
                break;
            case "run":
                RunUntil(words);
                break;
            case "crash": // the leader dies; of what waits so much is committed by the next
                Crash(Of(words[0]), words.Length > 1 ? int.Parse(words[1]) : 0);
                break;
            case "cut": // the leader is replaced and does not know it
                var shard = Of(words[0]);
                var known = shard.Copy();
                _stale[shard.Id.Value] = (shard.Depose(0)!, known);
                shard.Elect();
                Print($"{shard.Id} has another leader in {shard.Term}");
                break;
            case "stale":
                Stale(int.Parse(words[0]));
                break;
            case "show":
                foreach (var each in words.Length == 0 ? _shards : [.. words.Select(Of)])
                {
                    Show(each);
                }

                break;
            default:
                throw new InvalidOperationException($"There is no command '{verb}'.");
        }
    }

    private Shard Of(string word) => _shards[int.Parse(word) - 1];

    private void Print(string line) => _out.Append(line).Append('\n');

    private long Stamp(Shard shard) => (long)_nowMs + _clockMs.GetValueOrDefault(shard.Id.Value);

    private void Write(string verb, string[] words)
    {
        var shard = Of(words[0]);
        if (verb == "open")
        {
            var opened = Execute(shard, Opening());
            _sessions[words[1]] = SessionId.Of(in opened);
            Print($"{words[1]} is {shard.Id}.{_sessions[words[1]]}");
            return;
        }

        var command = verb switch
        {
            "put" => Command.Put(B(words[1]), B(words[2]), Option(words, "ttl=") is { } ttl ? long.Parse(ttl) : 0),
            "del" => Command.Delete(B(words[1])),
            _ => Command.Increment(B(words[1]), 1),
        };
        if (Option(words, "in=") is { } name)
        {
            var origin = Option(words, "of=") is { } of ? Of(of).Group : default;
            var sequence = ulong.Parse(Option(words, "seq=")!);
            command = command with { Once = new Once.InSession(_sessions[name], sequence, Option(words, "mark=") is { } mark ? ulong.Parse(mark) : 0, words.Contains("retry"), origin) };
        }
        else if (Option(words, "key=") is { } key)
        {
            command = command.Under(key);
        }

        Print(Result(Execute(shard, command)));
    }

    private static string? Option(string[] words, string name) => words.FirstOrDefault(w => w.StartsWith(name, StringComparison.Ordinal))?[name.Length..];

    private CommandResult Execute(Shard shard, Command command)
    {
        CommandResult answer = default;
        shard.Propose(CommandCodec.Encode(Stamp(shard), [command]), results => answer = results![0]);
        while (shard.Waiting > 0)
        {
            CommitOne(shard);
        }

        return answer;
    }

    private static string Result(CommandResult result) =>
        MovedHint.Of(in result) is { } hint ? $"NotOwner, went to {hint.Shard} as {hint.Epoch}"
        : MovedHint.Ahead(in result) is { } ahead ? $"SlotMoving, on the way to {ahead.Shard} as {ahead.Epoch}"
        : $"{result.Code}{(result.Value.IsEmpty ? "" : " " + Text(result.Value))}{(result.Version.IsNone ? "" : $" @{result.Version}")}";

    private void Begin(Shard source, Shard target, string tags)
    {
        var epochs = new uint[Slot.Count];
        foreach (var tag in tags)
        {
            var slot = Slot.Of(B($"{{{tag}}}"));
            epochs[slot.Value] = Math.Max(1, source.Machine.Ownership.Slots[slot].Value);
        }

        Propose(source, new HandoffStep.Begin(source.Group, target.Id, target.Group, SlotEpochs.Of(epochs)));
    }

    private void Propose(Shard shard, HandoffStep step)
    {
        shard.Propose(HandoffCodec.Encode(Stamp(shard), step));
        Commit(shard, int.MaxValue);
    }

    private bool Drive(Shard shard)
    {
        var output = new HandoffOutput();
        shard.Driver!.Step(shard.Machine, new Instant((long)(_nowMs * 1000)), 1 << 20, output);
        foreach (var step in output.Steps)
        {
            Print($"{shard.Id} proposes {StepText.Of(step)}");
            shard.Propose(HandoffCodec.Encode(Stamp(shard), step));
        }

        Send(shard.Id.Value, output);
        return output.Steps.Count + output.Messages.Count > 0;
    }

    private void Send(int from, HandoffOutput output)
    {
        foreach (var (to, _, message) in output.Messages)
        {
            Print($"{from} -> {to} {StepText.Of(message)}");
            _messages.Add((from, to.Value, message));
        }
    }

    private void Commit(Shard shard, int count)
    {
        for (; count > 0 && shard.Waiting > 0; count--)
        {
            CommitOne(shard);
        }
    }

    private void CommitOne(Shard shard)
    {
        HandoffStep? applied = null;
        shard.Applied = (step, _) => applied = step;
        shard.Commit();
        if (applied is not null)
        {
            Print($"{shard.Id} applies {shard.Machine.LastApplied}: {StepText.Of(applied)}{(shard.Machine.LastStepTook ? "" : " (no effect)")}");
        }
    }

    private void Deliver(string verb, string[] words)
    {
        var chosen = _messages.Where(m => words.Length == 0 || words[0] == $"{m.From}->{m.To}").ToArray();
        if (words.Length > 1)
        {
            chosen = [chosen[int.Parse(words[1]) - 1]];
        }

        foreach (var message in chosen)
        {
            if (verb != "repeat")
            {
                _messages.Remove(message);
            }

            if (verb != "lose")
            {
                _shards[message.To - 1].Driver!.Receive(message.Message);
            }
        }
    }

    // Everything goes on, without time passing, until nothing does or a step of a kind has been applied.
    private void RunUntil(string[] words)
    {
        for (var (i, idle) = (0, 0); i < 400; i++)
        {
            Deliver("deliver", []);
            var any = false;
            foreach (var shard in _shards)
            {
                any |= Drive(shard);
                while (shard.Waiting > 0)
                {
                    var length = _out.Length;
                    CommitOne(shard);
                    if (words.Length > 0 && _out.ToString(length, _out.Length - length).Contains($": {words[0]} ", StringComparison.Ordinal))
                    {
                        return;
                    }
                }
            }

            idle = any || _messages.Count > 0 ? 0 : idle + 1;
            if (idle == 4)
            {
                return;
            }
        }

        throw new InvalidOperationException("It goes on for ever.");
    }

    private void Crash(Shard shard, int committed)
    {
        shard.Applied = (step, _) => Print($"{shard.Id} applies {shard.Machine.LastApplied}: {StepText.Of(step)}");
        shard.Depose(committed);
        shard.Elect();
        _messages.RemoveAll(m => m.To == shard.Id.Value);
        Print($"{shard.Id} has another leader in {shard.Term}");
    }

    private void Stale(int shard)
    {
        var output = new HandoffOutput();
        var (driver, machine) = _stale[shard];
        driver.Step(machine, new Instant((long)(_nowMs * 1000)), 1 << 20, output);
        Send(shard, output);
    }

    private void Show(Shard shard)
    {
        var o = shard.Machine.Ownership;
        Print($"{shard.Id} {o.State} {StepText.Of(o.Slots)}{(o.Frozen.IsEmpty ? "" : $" frozen {StepText.Of(o.Frozen)}")}{(o.Staged.IsEmpty ? "" : $" staged {StepText.Of(o.Staged)}")}{(o.ToPurge.IsEmpty ? "" : $" to purge {StepText.Of(o.ToPurge)}")} records={shard.Machine.Records.Count} time={shard.Machine.LogTimeMs}");
        foreach (var move in o.Outgoing)
        {
            Print($"  {move.Begin} to {move.TargetShard} {move.Phase}");
        }

        foreach (var move in o.Incoming)
        {
            Print($"  {StepText.Of(move.Id)} {move.Phase}{(move.IsOpen ? $" {move.Attempt} chunks={move.Chunks} records={move.StagedRecords}" : "")}");
        }
    }
}
