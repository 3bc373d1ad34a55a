namespace Flotilla.Data.Tree;

/// <summary>
/// What differs between two states of one tree. Nodes that both reach are the same memory, and copying on write makes every
/// node on the way to a change another one: so one walk over both that steps over shared nodes costs what has changed, a
/// leaf or so for each record, and not what there is. Nothing needs to be noted down while the tree is written.
/// </summary>
internal static class TreeChanges
{
    /// <summary>Visits what differs, in key order, from the first key not below <paramref name="from"/>.</summary>
    public static void Visit<TVisitor>(Node older, Node newer, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IChangeVisitor
    {
        var before = new TreeCursor(older, from);
        var after = new TreeCursor(newer, from);
        var goesOn = true;
        while (goesOn && !(before.IsAtEnd && after.IsAtEnd))
        {
            if (TreeCursor.SkipShared(before, after))
            {
                continue;
            }

            Record? old = before.IsAtEnd ? null : before.Record;
            Record? now = after.IsAtEnd ? null : after.Record;
            var order = old is null ? 1 : now is null ? -1 : old.Value.Key.Span.SequenceCompareTo(now.Value.Key.Span);
            old = order <= 0 ? old : null;
            now = order >= 0 ? now : null;
            if (order != 0 || !IsSame(old!.Value, now!.Value))
            {
                goesOn = visitor.Visit(in old, in now);
            }

            if (old is not null)
            {
                before.Next();
            }

            if (now is not null)
            {
                after.Next();
            }
        }
    }

    private static bool IsSame(in Record a, in Record b) =>
        a.Version == b.Version && a.ExpiresAtMs == b.ExpiresAtMs && a.Value.Span.SequenceEqual(b.Value.Span);
}
