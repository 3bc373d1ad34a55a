using System.Collections.Immutable;
using Flotilla.Data.Tree;

namespace Flotilla.Data.Tests.Harness;

/// <summary>Runs a script on a tree and on a sorted model, and shrinks scripts on which the two differ.</summary>
internal static class ScriptRunner
{
    private const int HeldSnapshots = 40;

    /// <summary>Fails with the shortest script that it can find on which tree and model differ.</summary>
    public static void MustHold(IReadOnlyList<Operation> script, TreeLimits limits, bool everyLeafFilled, string replay)
    {
        var failure = Run(script, limits, everyLeafFilled);
        if (failure is null)
        {
            return;
        }

        var shortest = Shrink([.. script], candidate => Run(candidate, limits, everyLeafFilled) is not null);
        Assert.Fail($"""
            {replay} fails: {failure}
            Shortest script found ({shortest.Count} of {script.Count} steps): {Run(shortest, limits, everyLeafFilled)}
            {string.Join(Environment.NewLine, shortest.Take(100))}
            """);
    }

    /// <summary>Drops runs of steps, halving their length, as long as the script still fails.</summary>
    public static List<Operation> Shrink(List<Operation> script, Func<List<Operation>, bool> fails)
    {
        for (var length = script.Count / 2; length >= 1; length /= 2)
        {
            for (var at = 0; at + length <= script.Count;)
            {
                List<Operation> candidate = [.. script.Take(at), .. script.Skip(at + length)];
                if (fails(candidate))
                {
                    script = candidate;
                }
                else
                {
                    at += length;
                }
            }
        }

        return script;
    }

    /// <summary>What went wrong, or null.</summary>
    public static string? Run(IReadOnlyList<Operation> script, TreeLimits limits, bool everyLeafFilled)
    {
        var tree = new BTree(limits);
        var model = Model.Empty;
        var snapshots = new List<(IRecordView View, ImmutableSortedDictionary<byte[], Expected> Model, int Step)>();
        var step = 0;
        try
        {
            for (; step < script.Count; step++)
            {
                model = Step(ref tree, limits, model, snapshots, script[step], step);
                if (step % 64 == 0)
                {
                    Validate(tree, everyLeafFilled);
                }
            }

            Validate(tree, everyLeafFilled);
            Model.MustEqual(model, tree, "at the end");
            foreach (var snapshot in snapshots)
            {
                Model.MustEqual(snapshot.Model, snapshot.View, $"snapshot of step {snapshot.Step}, at the end");
            }
        }
        catch (Exception e)
        {
            return $"step {step}: {e.GetType().Name}: {e.Message} {e.StackTrace}";
        }

        return null;
    }

    private static void Validate(BTree tree, bool everyLeafFilled)
    {
        var shape = tree.Validate();
        if (everyLeafFilled && shape.SmallLeaves > 0)
        {
            throw new InvalidOperationException($"{shape.SmallLeaves} leaves are too empty: {shape}");
        }
    }

    private static ImmutableSortedDictionary<byte[], Expected> Step(
        ref BTree tree,
        TreeLimits limits,
        ImmutableSortedDictionary<byte[], Expected> model,
        List<(IRecordView View, ImmutableSortedDictionary<byte[], Expected> Model, int Step)> snapshots,
        Operation operation,
        int step)
    {
        var key = operation.Key;
        switch (operation.Kind)
        {
            case OperationKind.Put:
                var value = operation.MakeValue();
                tree.Put(key, value, operation.Version, operation.ExpiresAtMs);
                return model.SetItem(key, new Expected(value, operation.Version, operation.ExpiresAtMs));

            case OperationKind.Remove:
                MustBe(model.ContainsKey(key), tree.Remove(key), "remove");
                return model.Remove(key);

            case OperationKind.RemovePrefix:
                foreach (var gone in model.Keys.Where(k => k.AsSpan().StartsWith(key)).ToList())
                {
                    MustBe(true, tree.Remove(gone), "remove by prefix");
                    model = model.Remove(gone);
                }

                return model;

            case OperationKind.Get:
                Model.MustGet(tree, key, model.GetValueOrDefault(key), "get");
                return model;

            case OperationKind.Visit:
                Model.MustVisit(
                    model.Where(r => ByteOrder.Instance.Compare(r.Key, key) >= 0).Take(50), Model.Gather(tree, [], key, 50), "visit");
                return model;

            case OperationKind.VisitPrefix:
                Model.MustVisit(
                    model.Where(r => r.Key.AsSpan().StartsWith(key) && ByteOrder.Instance.Compare(r.Key, operation.Other) >= 0),
                    Model.Gather(tree, key, operation.Other),
                    "visit prefix");
                return model;

            case OperationKind.Snapshot:
                if (snapshots.Count < HeldSnapshots)
                {
                    snapshots.Add((tree.Snapshot(), model, step));
                }

                return model;

            case OperationKind.ForgetSnapshot:
                if (snapshots.Count > 0)
                {
                    var index = key[0] % snapshots.Count;
                    Model.MustEqual(snapshots[index].Model, snapshots[index].View, $"snapshot of step {snapshots[index].Step}");
                    snapshots.RemoveAt(index);
                }

                return model;

            case OperationKind.Reload:
                tree = Reloaded(tree, limits);
                return model;

            default:
                throw new NotSupportedException($"{operation.Kind}");
        }
    }

    private static BTree Reloaded(IRecordView view, TreeLimits limits)
    {
        var loader = new BTreeLoader(limits);
        foreach (var record in Model.Gather(view, [], []))
        {
            loader.Add(record.Key.Span, record.Value.Span, record.Version, record.ExpiresAtMs);
        }

        return loader.Finish();
    }

    private static void MustBe(bool expected, bool actual, string what)
    {
        if (expected != actual)
        {
            throw new InvalidOperationException($"{what} answered {actual}.");
        }
    }
}
