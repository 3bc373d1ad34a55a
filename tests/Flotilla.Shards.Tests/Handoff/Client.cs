using System.Globalization;
using Flotilla.Raft;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>
/// One client with the gateway's rules: sessions per shard, one write at a time, retries under the write's first name until it is
/// answered. It alone writes its counter and its register, so it knows what they must hold.
/// </summary>
internal sealed class Client(int number, World world)
{
    private readonly Dictionary<ulong, Opened> _sessions = [];
    private readonly byte[] _counter = B($"counter-{{{World.Tags[number % World.Tags.Length]}}}-{number}");
    private readonly byte[] _register = B($"register-{{{World.Tags[(number * 5 + 3) % World.Tags.Length]}}}-{number}");
    private readonly byte[] _keyed = B($"keyed-{{{World.Tags[(number * 3 + 1) % World.Tags.Length]}}}-{number}");
    private readonly byte[] _mortal = B($"mortal-{{{World.Tags[(number * 7 + 2) % World.Tags.Length]}}}-{number}");

    private Write? _write;
    private long _counted;
    private long _doubtful;
    private string? _stored;
    private long _keyedCount;
    private int _values;
    private (string Value, double DueMs)? _brief;
    private bool _mortalIsUnclear;
    private readonly HashSet<string?> _perhapsStored = []; // by writes that nobody knows the end of
    private int _guess;

    /// <summary>Nothing is under way.</summary>
    public bool IsIdle => _write is null;

    /// <summary>Writes that ended without a certain answer.</summary>
    public long Unclear { get; private set; }

    /// <summary>Writes that were answered.</summary>
    public long Done { get; private set; }

    public void Begin()
    {
        if (_write is not null)
        {
            return;
        }

        _write = world.Random.Below(4) switch
        {
            0 => new Write(Command.Increment(_counter, 1), "count"),
            1 => new Write(Command.Put(_register, B($"v{number}-{++_values}")), $"v{number}-{_values}"),
            2 => new Write(Command.Increment(_keyed, 1) with { Once = new Once.ByKey(B($"id-{number}-{++_values}"), new KeyTerms(600_000, 64 << 20)) }, "keyed"),
            _ => new Write(Command.Put(_mortal, B($"m{++_values}"), ttlMs: 50 + world.Random.Below(400)), "mortal"),
        };
        _write.NextTryMs = world.NowMs;
    }

    /// <summary>Sends the write under way, if it is time.</summary>
    public void Step()
    {
        if (_write is not { } write || world.NowMs < write.NextTryMs)
        {
            return;
        }

        write.NextTryMs = world.NowMs + 30 + world.Random.Below(90); // No answer until then: it is in doubt.
        var shard = world.Shards[_guess];
        var attempt = ++write.Attempts;
        var inDoubt = write.IsInDoubt;
        if (write.Command.Once is null)
        {
            if (write.Name is null && !_sessions.ContainsKey(shard.Group.Value))
            {
                if (world.Chance(0.9) && shard.Propose(CommandCodec.Encode(world.Stamp(shard), [Opening()]), results => Reply(() => _sessions[shard.Group.Value] = new Opened(SessionId.Of(results![0]), shard.Group))))
                {
                    write.NextTryMs = world.NowMs + 30;
                }
                else
                {
                    Elsewhere();
                }

                return;
            }

            write.Name ??= _sessions[shard.Group.Value].Next();
        }

        var command = write.Name is { } name ? write.Command with { Once = name.Of(shard.Group, inDoubt) } : write.Command;
        if (world.Chance(0.15) && shard.Driver is not null)
        {
            write.IsInDoubt = true; // Lost on its way, and nobody can tell.
            return;
        }

        if (!world.Chance(0.95) || !shard.Propose(CommandCodec.Encode(world.Stamp(shard), [command]), results => Reply(() => Answered(write, attempt, results![0], inDoubt))))
        {
            Elsewhere(); // It never came into a log.
            return;
        }

        write.IsInDoubt = true;
    }

    /// <summary>Reads what it wrote, from whoever serves it, and compares.</summary>
    public void Check()
    {
        foreach (var shard in world.Shards)
        {
            if (shard.Machine.Get(_counter) is { Code: ResultCode.Ok or ResultCode.NotFound } count)
            {
                var n = count.Code == ResultCode.Ok ? long.Parse(Text(count.Value), CultureInfo.InvariantCulture) : 0;
                var more = _doubtful + (_write?.What == "count" && _write.IsInDoubt ? 1 : 0);
                Assert.True(n >= _counted && n <= _counted + more, $"client {number} counted {_counted} and is not sure of {more}, and shard {shard.Id} has {n}; {world}");
            }

            if (shard.Machine.Get(_keyed) is { Code: ResultCode.Ok or ResultCode.NotFound } keyed)
            {
                var n = keyed.Code == ResultCode.Ok ? long.Parse(Text(keyed.Value), CultureInfo.InvariantCulture) : 0;
                Assert.True(n == _keyedCount || (n == _keyedCount + 1 && _write is { What: "keyed", IsInDoubt: true }), $"client {number} counted {_keyedCount} by keys, and shard {shard.Id} has {n}; {world}");
            }

            if (shard.Machine.Get(_register) is { Code: ResultCode.Ok or ResultCode.NotFound } register)
            {
                var value = register.Code == ResultCode.Ok ? Text(register.Value) : null;
                Assert.True(value == _stored || value == _write?.What || _perhapsStored.Contains(value), $"client {number} stored {_stored}, and shard {shard.Id} has {value}; {world}");
            }

            if (!_mortalIsUnclear && _brief is { } brief && shard.Machine.Get(_mortal) is { Code: ResultCode.Ok or ResultCode.NotFound } mortal && _write?.What != "mortal")
            {
                Assert.True(
                    mortal.Code == ResultCode.Ok ? Text(mortal.Value) == brief.Value : world.NowMs + (2 * World.MaxSkewMs) >= brief.DueMs,
                    $"client {number} stored {brief.Value} until {brief.DueMs}, and shard {shard.Id} answers {mortal.Code} {Text(mortal.Value)} at {world.NowMs}; {world}");
            }
        }
    }

    /// <summary>At the end each key is served by somebody.</summary>
    public void MustBeServed() =>
        Assert.All([_counter, _register, _keyed, _mortal], key => Assert.Single(world.Shards, s => s.Machine.Get(key).Code is ResultCode.Ok or ResultCode.NotFound));

    private void Reply(Action what)
    {
        if (world.Chance(0.8))
        {
            world.After(world.Random.Below(30), what);
        }
    }

    private void Answered(Write write, int attempt, CommandResult result, bool wasInDoubt)
    {
        if (write != _write)
        {
            return;
        }

        // Refused, and what is known of the attempts before stays as it was; but later ones may be under way.
        var isLast = attempt == write.Attempts;
        switch (result.Code)
        {
            case ResultCode.NotOwner:
                write.IsInDoubt = wasInDoubt || !isLast;
                Elsewhere(Shards.Handoff.MovedHint.Of(in result)?.Shard);
                break;
            case ResultCode.SlotMoving:
                write.IsInDoubt = wasInDoubt || !isLast;
                write.NextTryMs = world.NowMs + 5;
                break;
            case ResultCode.SessionExpired when wasInDoubt || !isLast:
                End(write, null);
                break;
            case ResultCode.SessionExpired:
                write.IsInDoubt = false;
                _sessions.Remove(write.Name!.Session.Group.Value);
                write.Name = null;
                write.NextTryMs = world.NowMs;
                break;
            default:
                End(write, result);
                break;
        }

        if (!write.IsInDoubt && write == _write && write.Name is { } name)
        {
            name.Session.Forget(name.Sequence); // Certainly not executed: another shard's session will do.
            write.Name = null;
        }
    }

    private void End(Write write, CommandResult? result)
    {
        write.Name?.Session.Forget(write.Name.Sequence);
        _write = null;
        if (result is null)
        {
            Unclear++;
            _doubtful += write.What == "count" ? 1 : 0;
            _mortalIsUnclear |= write.What == "mortal";
            _perhapsStored.Add(write.What);
            return;
        }

        Done++;
        Assert.Equal(ResultCode.Ok, result.Value.Code);
        switch (write.What)
        {
            case "count":
                _counted++;
                var n = long.Parse(Text(result.Value.Value), CultureInfo.InvariantCulture);
                Assert.True(n >= _counted && n <= _counted + _doubtful, $"client {number} was answered {n} for its increment {_counted}; {world}");
                break;
            case "keyed":
                _keyedCount++;
                Assert.Equal(_keyedCount.ToString(CultureInfo.InvariantCulture), Text(result.Value.Value));
                break;
            case "mortal":
                _brief = (Text(write.Command.Value), write.BegunMs(world) + write.Command.TtlMs);
                break;
            default:
                _stored = write.What;
                break;
        }
    }

    private void Elsewhere(ShardId? hint = null)
    {
        _guess = hint is { } shard && world.Chance(0.8) ? shard.Value - 1 : world.Random.Below(world.Shards.Length);
        if (_write is not null)
        {
            _write.NextTryMs = world.NowMs + 2;
        }
    }

    private sealed class Opened(SessionId id, GroupId group)
    {
        private readonly SortedSet<ulong> _open = [];
        private ulong _next;

        public GroupId Group => group;

        public Named Next()
        {
            _open.Add(_next);
            return new Named(this, _next++);
        }

        public void Forget(ulong sequence) => _open.Remove(sequence);

        public Once.InSession Of(ulong sequence, GroupId at, bool isRetry) => new(id, sequence, _open.Count == 0 ? _next : _open.Min, isRetry, at == group ? default : group);
    }

    private sealed record Named(Opened Session, ulong Sequence)
    {
        public Once.InSession Of(GroupId at, bool isRetry) => Session.Of(Sequence, at, isRetry);
    }

    private sealed class Write(Command command, string what)
    {
        private double? _begun;

        public Command Command => command;

        public string What => what;

        public Named? Name { get; set; }

        public bool IsInDoubt { get; set; }

        public int Attempts { get; set; }

        public double NextTryMs
        {
            get;
            set
            {
                _begun ??= value;
                field = value;
            }
        }

        public double BegunMs(World world) => Math.Min(world.NowMs, _begun ?? 0);
    }
}
