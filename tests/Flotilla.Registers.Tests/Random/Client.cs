using System.Globalization;
using Flotilla.Linearizability;
using Flotilla.Registers.Tests.Harness;

namespace Flotilla.Registers.Tests.Random;

/// <summary>Asks one thing after the other of whichever replica, and writes down what it learned. What ends unclear it may try again elsewhere, as the same write.</summary>
internal sealed class Client(Simulation world, int number)
{
    /// <summary>The key whose values expire.</summary>
    private const string Expiring = "ttl";

    /// <summary>One that is asked for often, one whose values expire, and some in one slot.</summary>
    public static readonly string[] Keys = ["a", Expiring, "{a}b", "{a}c", "{a}d", "{a}e"];

    private readonly List<(string Key, Data.Version Version)> _acknowledged = [];
    private readonly Dictionary<(Voter, string), Data.Version> _seen = [];
    private Asked? _asked;
    private ulong _calls;
    private int _values;

    private sealed record Asked(CallId Call, Host Host, string Key, string? Value, bool IsRead, long StartUs, Attempt? Attempt, int Tries);

    public int Done { get; private set; }

    public int Refused { get; private set; }

    public int Unclear { get; private set; }

    public static void LogWrite(Simulation world, Action<LogEntry> append)
    {
        var key = Keys[world.Below(Keys.Length)];
        var value = $"log-{world.NowUs}";
        world.History.Add(new Operation("log", OperationKind.Put, key, value, null, world.NowUs, world.NowUs, Outcome.Ok, null, null));
        append(new LogEntry(null, key, value));
    }

    /// <summary>What the checker is to know before anything else.</summary>
    public static void Prepare(Simulation world) =>
        world.History.Add(new Operation("start", OperationKind.Put, Expiring, "", null, 0, 0, Outcome.Ok, null, null));

    public void Begin()
    {
        if (world.IsQuiet)
        {
            return;
        }

        // Whoever was not answered for so long has lost its replica.
        if (_asked is null)
        {
            var host = world.Hosts[world.Below(world.Hosts.Length)];
            if (host.Replica is not null)
            {
                Ask(host);
            }
        }

        world.After(200 + world.Below(5000), Begin);
    }

    public void Answered(CallId call, RegisterAnswer answer)
    {
        if (_asked is not { } asked || asked.Call != call)
        {
            Assert.Fail($"{call} was answered twice.");
            return;
        }

        _asked = null;
        switch (answer)
        {
            case RegisterAnswer.Written written:
                _acknowledged.Add((asked.Key, written.Version));
                world.Acknowledged(asked.Key, written.Version);
                See(asked, written.Version);
                Record(asked, Outcome.Ok, null);
                break;
            case RegisterAnswer.Found found:
                See(asked, found.Item.Stamp.Version);
                Record(asked, Outcome.Ok, Text.Of(found.Item.Value));
                break;
            case RegisterAnswer.Absent:
                Record(asked, Outcome.Ok, null);
                break;
            case RegisterAnswer.Indeterminate unclear when asked.Tries < 6 && world.Hit(0.7):
                Again(asked, unclear.Attempt);
                break;
            case RegisterAnswer.Indeterminate:
                Record(asked, Outcome.Unknown, null);
                break;
            default:
                Refused++;
                Record(asked, Outcome.Fail, null);
                break;
        }
    }

    /// <summary>A process has ended, and with it all that it was asked.</summary>
    public void Lost(Host host)
    {
        if (_asked is { } asked && asked.Host == host)
        {
            _asked = null;
            Record(asked, Outcome.Unknown, null);
        }
    }

    public void GiveUp()
    {
        if (_asked is { } asked)
        {
            _asked = null;
            Record(asked, Outcome.Unknown, null);
        }
    }

    /// <summary>An epoch has ended: it left everything that was acknowledged in it.</summary>
    public void CheckAcknowledged(uint modeEpoch)
    {
        foreach (var (key, version) in _acknowledged.Where(a => a.Version.ModeEpoch == modeEpoch))
        {
            world.Acknowledged(key, version);
        }
    }

    private void Ask(Host host)
    {
        var key = Keys[world.Below(world.Hit(0.4) ? 1 : world.Hit(0.6) ? 2 : Keys.Length)];
        var isRead = world.Hit(0.55);
        var value = isRead || world.Hit(0.2) ? null : $"{number}-{++_values}";
        _asked = new Asked(NextCall(), host, key, value, isRead, world.NowUs, null, 0);
        if (isRead)
        {
            world.Step(host, new RegisterInput.Get(_asked.Call, Text.B(key), Deadline()));
            return;
        }

        var ttlMs = key == Expiring && value is not null ? 5 + world.Below(100) : 0;
        if (ttlMs > 0)
        {
            // Somebody may find it expired at any time, or never.
            world.History.Add(new Operation($"expiry {value}", OperationKind.CompareAndSwap, key, "", value, world.NowUs, long.MaxValue, Outcome.Unknown, null, null));
        }

        world.Step(host, Write(_asked, ttlMs));
    }

    private RegisterInput.Write Write(Asked asked, long ttlMs) =>
        new(asked.Call, Text.B(asked.Key), asked.Value is null, asked.Value is null ? default : Text.B(asked.Value), ttlMs, Deadline(), asked.Attempt);

    private void Again(Asked asked, Attempt attempt)
    {
        Unclear++;
        var retry = asked with { Call = NextCall(), Attempt = attempt, Tries = asked.Tries + 1 };
        _asked = retry;
        world.After(1000 + world.Below(30_000), () =>
        {
            if (_asked != retry)
            {
                return;
            }

            var host = world.Hosts[world.Below(world.Hosts.Length)];
            _asked = retry with { Host = host };
            if (host.Replica is null)
            {
                _asked = null;
                Record(asked, Outcome.Unknown, null);
            }
            else
            {
                world.Step(host, Write(_asked, 0));
            }
        });
    }

    private CallId NextCall() => new((++_calls * (ulong)world.Clients.Length) + (ulong)number);

    private long Deadline() => world.NowUs + 20_000 + world.Below(150_000);

    // Who asks one replica never goes back in time there, in async too.
    private void See(Asked asked, Data.Version version)
    {
        if (asked.IsRead)
        {
            var place = (asked.Host.Id, asked.Key);
            Assert.True(_seen.GetValueOrDefault(place).CompareTo(version) <= 0, $"{asked.Key} at {asked.Host.Id}: {Text.Of(version)} after {Text.Of(_seen.GetValueOrDefault(place))}");
            _seen[place] = version;
        }
    }

    private void Record(Asked asked, Outcome outcome, string? read)
    {
        Done += outcome == Outcome.Ok ? 1 : 0;
        if (asked.IsRead && outcome != Outcome.Ok)
        {
            return;
        }

        // Of the key whose values expire "nothing there" is the empty value to the checker, so that an expiry is a compare-and-swap to it.
        var isExpiring = asked.Key == Expiring;
        var kind = asked.IsRead ? OperationKind.Get : asked.Value is null && !isExpiring ? OperationKind.Delete : OperationKind.Put;
        read = isExpiring ? read ?? "" : read;
        world.History.Add(new Operation(
            number.ToString(CultureInfo.InvariantCulture), kind, asked.Key, isExpiring && !asked.IsRead ? asked.Value ?? "" : asked.Value, null,
            asked.StartUs, outcome == Outcome.Unknown ? long.MaxValue : world.NowUs, outcome, asked.IsRead ? read : null, asked.IsRead ? read is not null : null));
    }
}
