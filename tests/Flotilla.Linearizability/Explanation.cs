using System.Text;

namespace Flotilla.Linearizability;

/// <summary>Says why a history is not linearizable, in as few operations as it can.</summary>
internal static class Explanation
{
    private const int Placed = 8;
    private const int Shown = 24;

    /// <summary>
    /// The shortest beginning of a history that is already wrong: what ended by then counts as it was, a write under way as
    /// unknown, and the rest is left out. A violation never goes away by knowing more, so the point is found by halving.
    /// </summary>
    public static List<Operation> SmallestPrefix(string key, List<Operation> operations, long budget)
    {
        var ends = operations.Where(o => o.Outcome == Outcome.Ok).Select(o => o.EndUs).Distinct().Order().ToList();
        int low = 0, high = ends.Count - 1;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (LinearizabilityChecker.CheckKey(key, Prefix(operations, ends[middle]), budget, out _, out _) == Verdict.Violation)
            {
                high = middle;
            }
            else
            {
                low = middle + 1;
            }
        }

        return ends.Count == 0 ? operations : Prefix(operations, ends[high]);
    }

    public static string Of(KeyHistory history, KeySearch search)
    {
        var definite = history.Definite;
        var text = new StringBuilder();
        text.AppendLine($"key {history.Key}: not linearizable ({definite.Length} operations up to the first proof of it)");
        var order = search.Deepest;
        text.AppendLine($"  the longest explanation places {order.Count} of them; its last ones, in order:");
        foreach (var index in order.TakeLast(Placed))
        {
            text.AppendLine($"    {(index < definite.Length ? definite[index] : history.Unknown[index - definite.Length]).Op}");
        }

        text.AppendLine($"  the value is then {history.TextOf(search.DeepestState)}, and of these none can come next:");
        var placed = order.ToHashSet();
        var waiting = Enumerable.Range(0, definite.Length).Where(i => !placed.Contains(i)).ToList();
        var horizon = waiting.Count == 0 ? long.MaxValue : waiting.Min(i => definite[i].Op.EndUs);
        foreach (var i in waiting.Where(i => definite[i].Op.StartUs <= horizon).Take(Shown))
        {
            text.AppendLine($"    {definite[i].Op}{Why(history, search, definite[i])}");
        }

        var later = waiting.Where(i => definite[i].Op.StartUs > horizon).Take(Shown).ToList();
        if (later.Count > 0)
        {
            text.AppendLine("  while these wait for them:");
            foreach (var i in later)
            {
                text.AppendLine($"    {definite[i].Op}");
            }
        }

        var unknown = history.Unknown.Where((_, i) => !placed.Contains(definite.Length + i)).TakeLast(Placed).ToList();
        if (unknown.Count > 0)
        {
            text.AppendLine("  and these, of unknown outcome, don't help:");
            foreach (var op in unknown)
            {
                text.AppendLine($"    {op.Op}");
            }
        }

        return text.ToString();
    }

    private static string Why(KeyHistory history, KeySearch search, in Prepared op)
    {
        if (!history.TryApply(op, search.DeepestState, out _))
        {
            return "   <- does not fit";
        }

        return op.Pure ? "" : "   <- fits, but then something else cannot be explained";
    }

    private static List<Operation> Prefix(List<Operation> operations, long endUs) =>
        [.. operations.Where(o => o.StartUs <= endUs).Select(o => o.EndUs <= endUs || o.Outcome != Outcome.Ok ? o : o with { Outcome = Outcome.Unknown, Read = null, Found = null })];
}
