using System.Globalization;
using System.Text;

namespace Flotilla.Cli.Bench;

/// <summary>Picks keys: all equally often, or a few very often (Zipf with 0.99, as YCSB does).</summary>
internal sealed class KeyChooser
{
    private const double Theta = 0.99;
    private readonly int _keys;
    private readonly int _keyBytes;
    private readonly bool _zipf;
    private readonly double _zetaN;
    private readonly double _alpha;
    private readonly double _eta;

    /// <summary>Picks among <paramref name="keys"/> keys of <paramref name="keyBytes"/> bytes. Immutable, so that many may pick at once.</summary>
    public KeyChooser(int keys, int keyBytes, bool zipf)
    {
        _keys = keys;
        _keyBytes = keyBytes;
        _zipf = zipf;
        if (zipf)
        {
            // Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994), as YCSB has it.
            for (var i = 1; i <= keys; i++)
            {
                _zetaN += 1 / Math.Pow(i, Theta);
            }

            _alpha = 1 / (1 - Theta);
            _eta = (1 - Math.Pow(2.0 / keys, 1 - Theta)) / (1 - ((1 + Math.Pow(0.5, Theta)) / _zetaN));
        }
    }

    /// <summary>The least key size that holds so many keys.</summary>
    public static int SmallestKeyBytes(int keys) => 1 + (keys - 1).ToString(CultureInfo.InvariantCulture).Length;

    /// <summary>The number of a key.</summary>
    public int Next(Random random)
    {
        if (!_zipf || _keys == 1)
        {
            return random.Next(_keys);
        }

        var u = random.NextDouble();
        var uz = u * _zetaN;
        var rank = uz < 1 ? 0 : uz < 1 + Math.Pow(0.5, Theta) ? 1 : (int)(_keys * Math.Pow((_eta * u) - _eta + 1, _alpha));

        // The popular ones must not lie beside each other: they would share pages, not shards.
        return (int)((uint)Scatter(Math.Min(rank, _keys - 1)) % (uint)_keys);
    }

    /// <summary>The key with a number: <c>k</c> and zeros before it.</summary>
    public byte[] KeyOf(int number) => Encoding.ASCII.GetBytes("k" + number.ToString(CultureInfo.InvariantCulture).PadLeft(_keyBytes - 1, '0'));

    private static int Scatter(int rank)
    {
        var x = ((ulong)(uint)rank + 1) * 0x9E3779B97F4A7C15;
        return (int)(x >> 32);
    }
}
