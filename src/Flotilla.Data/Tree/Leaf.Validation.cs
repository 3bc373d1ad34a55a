namespace Flotilla.Data.Tree;

internal sealed partial class Leaf
{
    /// <summary>Throws unless the page's account of itself agrees with its content.</summary>
    public void ValidatePage()
    {
        var live = 0;
        for (var i = 0; i < Count; i++)
        {
            var slot = Slots[i];
            var cell = Read(slot, out var at);
            live += cell.Length;
            var key = Key(i);
            Check(slot == Slot.For(key, _shared.Length, slot.Distance), "a slot has a wrong head");
            Check(SideOf(key) == 0 && key.StartsWith(Key(0)[.._shared.Length]), "a key does not begin with the shared prefix");
            Check(at >= _page.Length - _heapBytes && at + cell.Length <= _page.Length, "a cell lies outside the heap");
            Check(cell.IsOutside == (_outside?[i] is not null), "a value is both inside and outside, or neither");
            Check(i == 0 || Key(i - 1).SequenceCompareTo(key) < 0, "keys are out of order");
        }

        Check(live == _heapBytes - _deadBytes, "dead bytes are miscounted");
        Check(FreeBytes >= 0, "directory and heap overlap");
    }

    private static void Check(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"Damaged leaf: {otherwise}.");
        }
    }
}
