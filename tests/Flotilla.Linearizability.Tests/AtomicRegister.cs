using System.Globalization;

namespace Flotilla.Linearizability.Tests;

/// <summary>What a random history is made of.</summary>
internal sealed record Mix(int Clients, int Operations, int Keys, int Values, double Unknown, bool Counters, bool Deletes);

/// <summary>
/// Histories that are linearizable by construction: clients that call a register which takes effect at one instant between
/// start and end, or, where the outcome is unknown, at any later instant or never.
/// </summary>
internal static class AtomicRegister
{
    private sealed record Planned(int Client, OperationKind Kind, string Key, string? Value, string? Expected, long Start, long Effect, long End, bool Unknown);

    /// <param name="random">Chance.</param>
    /// <param name="mix">What to do; with <see cref="Mix.Values"/> 0 every written value is unique.</param>
    public static List<Operation> History(Random random, Mix mix)
    {
        var plans = new List<Planned>();
        var clock = new long[mix.Clients];
        var unique = 0;
        var seen = new List<string>();
        for (var i = 0; i < mix.Operations; i++)
        {
            var client = random.Next(mix.Clients);
            var start = clock[client] + random.Next(1, 30);
            var end = start + random.Next(1, 200);
            clock[client] = end;
            var unknown = random.NextDouble() < mix.Unknown;
            var effect = unknown ? random.NextDouble() < 0.5 ? long.MaxValue : start + random.Next(1, 3000) : random.NextInt64(start, end + 1);
            var kind = Pick(random, mix);
            var value = kind == OperationKind.Increment ? null : mix.Values == 0 ? $"v{++unique}" : $"{random.Next(mix.Values)}";
            var expected = kind == OperationKind.CompareAndSwap && random.NextDouble() < 0.8 ? mix.Values == 0 ? $"v{random.Next(Math.Max(1, unique - 5), unique + 1)}" : $"{random.Next(mix.Values)}" : null;
            plans.Add(new Planned(client, kind, $"k{random.Next(mix.Keys)}", kind is OperationKind.Put or OperationKind.CompareAndSwap ? value : null, expected, start, effect, end, unknown));
        }

        var history = new List<Operation>();
        var registers = new Dictionary<string, string?>(StringComparer.Ordinal);
        foreach (var plan in plans.OrderBy(p => p.Effect).ThenBy(p => p.Start))
        {
            var state = registers.GetValueOrDefault(plan.Key);
            var record = new Operation($"c{plan.Client}", plan.Kind, plan.Key, plan.Value, plan.Expected, plan.Start, plan.End, plan.Unknown ? Outcome.Unknown : Outcome.Ok, null, null);
            if (plan.Effect == long.MaxValue)
            {
                history.Add(record);
                continue;
            }

            var (next, answer) = Apply(plan, state, record, random);
            registers[plan.Key] = next;
            history.Add(plan.Unknown ? record : answer);
        }

        return history;
    }

    private static OperationKind Pick(Random random, Mix mix) => random.Next(10) switch
    {
        < 4 => OperationKind.Get,
        < 7 => OperationKind.Put,
        7 => mix.Deletes ? OperationKind.Delete : OperationKind.Put,
        8 => mix.Counters ? OperationKind.Increment : OperationKind.Get,
        _ => OperationKind.CompareAndSwap,
    };

    private static (string? Next, Operation Answer) Apply(Planned plan, string? state, Operation record, Random random)
    {
        switch (plan.Kind)
        {
            case OperationKind.Put:
                return (plan.Value, record);
            case OperationKind.Get:
                return (state, record with { Read = state, Found = state is not null });
            case OperationKind.Delete:
                return (null, record with { Found = random.Next(3) == 0 ? null : state is not null });
            case OperationKind.CompareAndSwap:
                return state == plan.Expected
                    ? (plan.Value, record with { Found = true })
                    : (state, random.Next(3) == 0 ? record with { Outcome = Outcome.Fail } : record with { Found = false, Read = random.Next(2) == 0 ? state : null });
            default:
                if (state is not null && !long.TryParse(state, CultureInfo.InvariantCulture, out _))
                {
                    return (state, record with { Outcome = Outcome.Fail });
                }

                var sum = ((state is null ? 0 : long.Parse(state, CultureInfo.InvariantCulture)) + 1).ToString(CultureInfo.InvariantCulture);
                return (sum, record with { Read = sum });
        }
    }
}
