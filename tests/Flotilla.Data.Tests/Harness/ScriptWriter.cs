namespace Flotilla.Data.Tests.Harness;

/// <summary>How the keys of a script look.</summary>
public enum Keys
{
    /// <summary>A few short keys, so that operations meet.</summary>
    Few,

    /// <summary>Sixteen random bytes.</summary>
    Random,

    /// <summary>Long shared beginnings that branch here and there, keys that are prefixes of others, the empty key.</summary>
    SharedPrefixes,

    /// <summary>0 to 4096 bytes.</summary>
    AnyLength,
}

/// <summary>Draws scripts from a seed. Phases of mostly puts and mostly removes take turns, so that trees grow and melt.</summary>
public sealed class ScriptWriter(int seed, Keys keys, int maxValueLength)
{
    private readonly Random _random = new(seed);
    private readonly List<byte[]> _used = [];

    public List<Operation> Write(int length)
    {
        var script = new List<Operation>(length);
        var putPercent = 60;
        for (var i = 0; i < length; i++)
        {
            if (i % Math.Max(1, length / 8) == 0)
            {
                putPercent = i / Math.Max(1, length / 8) % 2 == 0 ? 60 : 15;
            }

            script.Add(Next(putPercent, (ulong)i + 1));
        }

        return script;
    }

    private Operation Next(int putPercent, ulong counter)
    {
        var dice = _random.Next(100);
        if (dice < putPercent)
        {
            return new Operation(OperationKind.Put, Key(newPercent: 75), [], ValueLength(), Version(counter), Expiry());
        }

        if (_random.Next(100) < 60)
        {
            return Plain(OperationKind.Remove, Key(newPercent: 10));
        }

        return _random.Next(100) switch
        {
            < 40 => Plain(OperationKind.Get, Key(newPercent: 30)),
            < 60 => Plain(OperationKind.Visit, Key(newPercent: 30)),
            < 75 => Plain(OperationKind.VisitPrefix, Prefix()) with { Other = _random.Next(2) == 0 ? [] : Key(newPercent: 20) },
            < 88 => Plain(OperationKind.Snapshot, []),
            < 97 => Plain(OperationKind.ForgetSnapshot, [(byte)_random.Next(256)]),
            < 98 => Plain(OperationKind.Reload, []),
            _ => Plain(OperationKind.RemovePrefix, Prefix()),
        };
    }

    private static Operation Plain(OperationKind kind, byte[] key) => new(kind, key, [], 0, default, 0);

    private byte[] Key(int newPercent)
    {
        if (_used.Count > 0 && _random.Next(100) >= newPercent)
        {
            return _used[_random.Next(_used.Count)];
        }

        var key = NewKey();
        _used.Add(key);
        return key;
    }

    private byte[] NewKey()
    {
        switch (keys)
        {
            case Keys.Few:
                return Bytes(_random.Next(3), alphabet: 5);
            case Keys.Random:
                return Bytes(16, alphabet: 256);
            case Keys.SharedPrefixes:
                // Branches off an earlier key at some place; a small alphabet with both extremes makes long common parts.
                var stem = _used.Count == 0 ? [] : _used[_random.Next(_used.Count)];
                var kept = _random.Next(stem.Length + 1);
                byte[] key = [.. stem.AsSpan(0, kept), .. Bytes(_random.Next(24), alphabet: 3)];
                return key.Length > 300 ? key[..300] : key;
            default:
                var length = _random.Next(4) == 0 ? _random.Next(4097) : _random.Next(40);
                return Bytes(length, alphabet: 256);
        }
    }

    private byte[] Prefix()
    {
        var key = Key(newPercent: 10);
        return key[.._random.Next(Math.Min(key.Length, 4) + 1)];
    }

    private byte[] Bytes(int length, int alphabet)
    {
        var bytes = new byte[length];
        _random.NextBytes(bytes);
        if (alphabet < 256)
        {
            // 0, 255, and what lies between: signed comparison and zero padding are the classic mistakes.
            for (var i = 0; i < length; i++)
            {
                bytes[i] = (bytes[i] % alphabet) switch { 0 => 0, 1 => 255, 2 => 128, var other => (byte)other };
            }
        }

        return bytes;
    }

    private int ValueLength() => _random.Next(20) switch
    {
        0 => _random.Next(maxValueLength + 1),
        1 => 0,
        2 => Math.Min(maxValueLength, _random.Next(900, 1200)),
        _ => _random.Next(Math.Min(maxValueLength, 200) + 1),
    };

    private Version Version(ulong counter) => _random.Next(8) == 0
        ? new Version((uint)_random.NextInt64(1L << 32), uint.MaxValue, ulong.MaxValue - counter, (ulong)_random.NextInt64())
        : new Version(1, 0, counter, (ulong)_random.Next(100));

    private long Expiry() => _random.Next(4) switch
    {
        0 => 1_700_000_000_000 + _random.Next(),
        1 => _random.Next(10) == 0 ? long.MaxValue : 1,
        _ => 0,
    };
}
