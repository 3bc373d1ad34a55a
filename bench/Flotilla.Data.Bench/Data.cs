namespace Flotilla.Data.Bench;

/// <summary>Keys and values drawn from a seed, and orders to use them in.</summary>
internal sealed class Data
{
    public Data(int records, int keyBytes, int valueBytes, int seed)
    {
        var random = new Random(seed);
        Keys = new byte[records][];
        for (var i = 0; i < records; i++)
        {
            random.NextBytes(Keys[i] = new byte[keyBytes]);
        }

        random.NextBytes(Value = new byte[valueBytes]);
        Order = [.. Enumerable.Range(0, records)];
        random.Shuffle(Order);
    }

    /// <summary>The keys, in random order.</summary>
    public byte[][] Keys { get; }

    /// <summary>The value of every record.</summary>
    public byte[] Value { get; }

    /// <summary>Another random order of the keys.</summary>
    public int[] Order { get; }
}
