using System.Globalization;

namespace Flotilla.Linearizability.Tests;

/// <summary>
/// The definition itself, for tiny histories: tries every order of every choice of the unknown operations. Shares no code
/// with the checker, on purpose.
/// </summary>
internal static class BruteForce
{
    public static bool IsLinearizable(IReadOnlyList<Operation> operations)
    {
        var relevant = operations.Where(o => o.Outcome != Outcome.Fail && !(o is { Outcome: Outcome.Unknown, Kind: OperationKind.Get })).ToList();
        return Search(relevant, new bool[relevant.Count], null);
    }

    private static bool Search(List<Operation> all, bool[] done, string? state)
    {
        if (all.Where((o, i) => !done[i]).All(o => o.Outcome == Outcome.Unknown))
        {
            return true;
        }

        for (var i = 0; i < all.Count; i++)
        {
            var mine = all[i];
            if (done[i] || all.Where((o, j) => !done[j] && j != i).Any(o => o.Outcome == Outcome.Ok && o.EndUs < mine.StartUs))
            {
                continue;
            }

            if (Apply(mine, state) is { } next)
            {
                done[i] = true;
                var found = Search(all, done, next.State);
                done[i] = false;
                if (found)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private sealed record After(string? State);

    private static After? Apply(Operation o, string? state)
    {
        var sure = o.Outcome == Outcome.Ok;
        switch (o.Kind)
        {
            case OperationKind.Put:
                return new After(o.Value);
            case OperationKind.Get:
                return state == (o.Found == false ? null : o.Read) ? new After(state) : null;
            case OperationKind.Delete:
                return sure && o.Found is { } found && found != state is not null ? null : new After(null);
            case OperationKind.CompareAndSwap:
                if (sure && o.Found == false)
                {
                    return state != o.Expected && (o.Read is null || o.Read == state) ? new After(state) : null;
                }

                return state == o.Expected ? new After(o.Value) : null;
            default:
                if (state is not null && !long.TryParse(state, CultureInfo.InvariantCulture, out _))
                {
                    return null;
                }

                var sum = ((state is null ? 0 : long.Parse(state, CultureInfo.InvariantCulture)) + (o.Value is null ? 1 : long.Parse(o.Value, CultureInfo.InvariantCulture))).ToString(CultureInfo.InvariantCulture);
                return sure && o.Read is not null && o.Read != sum ? null : new After(sum);
        }
    }
}
