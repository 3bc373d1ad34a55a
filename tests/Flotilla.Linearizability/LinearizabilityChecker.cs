namespace Flotilla.Linearizability;

/// <summary>What is known about a history.</summary>
public enum Verdict
{
    /// <summary>Some order of the operations, within their times, explains everything that was observed.</summary>
    Linearizable,

    /// <summary>No order does.</summary>
    Violation,

    /// <summary>The search gave up: too many orders to try.</summary>
    Undecided,
}

/// <summary>The verdict on one history.</summary>
/// <param name="Verdict">The worst of all keys.</param>
/// <param name="Operations">How many operations were looked at.</param>
/// <param name="Keys">On how many keys.</param>
/// <param name="Nodes">How many states were searched.</param>
/// <param name="Explanation">For a violation: key, operations and how far an explanation gets; else empty.</param>
public sealed record CheckResult(Verdict Verdict, int Operations, int Keys, long Nodes, string Explanation)
{
    /// <summary>True if the history is linearizable.</summary>
    public bool Ok => Verdict == Verdict.Linearizable;
}

/// <summary>
/// Checks histories of registers and counters for linearizability (Herlihy and Wing, 1990), one key at a time: a history is
/// linearizable if and only if its part on each key is (locality), so that the search stays small. Record histories whose
/// written values are unique: then thousands of operations of 64 clients on one key take a fraction of a second, whereas with
/// few values and much concurrency the search may have to give up.
/// </summary>
public static class LinearizabilityChecker
{
    /// <summary>How many states the search of one key may visit.</summary>
    public const long DefaultBudget = 1_000_000;

    /// <summary>Checks a history; every key is absent at its beginning.</summary>
    /// <param name="history">The operations, in any order.</param>
    /// <param name="budget">How many states the search of one key may visit before it gives up.</param>
    public static CheckResult Check(IEnumerable<Operation> history, long budget = DefaultBudget)
    {
        int operations = 0, keys = 0;
        long nodes = 0;
        var worst = Verdict.Linearizable;
        var explanation = "";
        foreach (var group in history.GroupBy(o => o.Key, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            var list = group.ToList();
            operations += list.Count;
            keys++;
            var verdict = CheckKey(group.Key, list, budget, out var search, out _);
            nodes += search.Nodes;
            if (verdict == Verdict.Violation)
            {
                return new CheckResult(verdict, operations, keys, nodes, Explain(group.Key, list, budget));
            }

            if (verdict == Verdict.Undecided)
            {
                worst = verdict;
                explanation = $"key {group.Key}: gave up after {search.Nodes} states";
            }
        }

        return new CheckResult(worst, operations, keys, nodes, explanation);
    }

    internal static Verdict CheckKey(string key, IReadOnlyCollection<Operation> operations, long budget, out KeySearch search, out KeyHistory prepared)
    {
        prepared = new KeyHistory(key, operations, exhaustive: false);
        search = new KeySearch(prepared, budget);
        var end = search.Run();
        if (end == SearchEnd.Violation && prepared.MayBeTooStrict)
        {
            prepared = new KeyHistory(key, operations, exhaustive: true);
            search = new KeySearch(prepared, budget);
            end = search.Run();
        }

        return end switch
        {
            SearchEnd.Linearizable => Verdict.Linearizable,
            SearchEnd.Violation => Verdict.Violation,
            _ => Verdict.Undecided,
        };
    }

    private static string Explain(string key, List<Operation> operations, long budget)
    {
        var smallest = Explanation.SmallestPrefix(key, operations, budget);

        // Without shortcuts the longest partial order reads like a story; with them it is still right, should the other take too long.
        var prepared = new KeyHistory(key, smallest, exhaustive: true);
        var search = new KeySearch(prepared, budget / 10, plain: true);
        if (search.Run() != SearchEnd.Violation)
        {
            CheckKey(key, smallest, budget, out search, out prepared);
        }

        return Explanation.Of(prepared, search);
    }
}
