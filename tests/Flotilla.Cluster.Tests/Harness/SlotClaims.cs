using Flotilla.Topology;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>
/// What samples of shards' states say of who owns each slot, and what they may never say. Each shows what a shard's log held at some moment
/// after the sample was begun. So two shards never claim a slot under one epoch, whenever they do; and once a sample has shown a slot under an
/// epoch, every sample that is begun afterwards shows that whoever had it under a lower one does not serve it: it is frozen there, or gone.
/// Samples may be given in any order. Thread-safe.
/// </summary>
internal sealed class SlotClaims
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<uint, Claim>?[] _bySlot = new SortedDictionary<uint, Claim>?[Slot.Count];
    private readonly List<string> _violations = [];

    /// <summary>Samples that were compared.</summary>
    public int Samples { get; private set; }

    /// <summary>Slots with an epoch that somebody claims.</summary>
    public int Claims { get; private set; }

    /// <summary>Slots that were seen with two shards, one after the other.</summary>
    public int Moved => _bySlot.Count(static slot => slot is not null && slot.Values.Select(static c => c.Shard).Distinct().Count() > 1);

    /// <summary>So often a sample of a shard, begun after a slot of it had been seen elsewhere under a higher epoch, showed that it is not served there any more.</summary>
    public long FormerOwnersAsked { get; private set; }

    /// <summary>Slots that a sample showed frozen.</summary>
    public long Frozen { get; private set; }

    /// <summary>What must not be, in words; the first hundred.</summary>
    public IReadOnlyList<string> Violations => _violations;

    /// <summary>Adds what a sample of a shard shows.</summary>
    /// <param name="shard">The shard.</param>
    /// <param name="owned">What it owns by its log, frozen slots included.</param>
    /// <param name="frozen">What of it is served by nobody.</param>
    /// <param name="beganUs">When the sample was begun.</param>
    /// <param name="endedUs">When it had been taken.</param>
    public void Add(int shard, SlotEpochs owned, SlotSet frozen, long beganUs, long endedUs)
    {
        lock (_gate)
        {
            Samples++;
            Frozen += frozen.Count;
            var served = new bool[Slot.Count];
            foreach (var (slot, epoch) in owned.Entries())
            {
                var claim = ClaimOf(slot, epoch.Value, shard);
                if (claim.Shard != shard)
                {
                    Violate($"slot {slot} under epoch {epoch} is claimed by shard {claim.Shard} and by shard {shard}");
                }

                claim.SeenUs = Math.Min(claim.SeenUs, endedUs);
                if (!frozen.Contains(slot))
                {
                    served[slot.Value] = true;
                    claim.ServedUs = Math.Max(claim.ServedUs, beganUs);
                }
            }

            for (var slot = 0; slot < Slot.Count; slot++)
            {
                if (_bySlot[slot] is { Count: > 1 } claims)
                {
                    Compare(slot, claims, shard, served[slot], beganUs);
                }
            }
        }
    }

    private Claim ClaimOf(Slot slot, uint epoch, int shard)
    {
        var claims = _bySlot[slot.Value] ??= [];
        if (!claims.TryGetValue(epoch, out var claim))
        {
            claims.Add(epoch, claim = new Claim(shard));
            Claims++;
        }

        return claim;
    }

    private void Compare(int slot, SortedDictionary<uint, Claim> claims, int sampled, bool isServed, long beganUs)
    {
        var higherSeenUs = long.MaxValue;
        var higher = 0u;
        var asked = false;
        foreach (var (epoch, claim) in claims.Reverse())
        {
            if (claim.ServedUs > higherSeenUs)
            {
                Violate($"slot {slot} is served by shard {claim.Shard} under epoch {epoch} in a sample begun {claim.ServedUs - higherSeenUs} microseconds after it was seen under epoch {higher}");
            }

            asked |= claim.Shard == sampled && !isServed && beganUs > higherSeenUs;
            if (claim.SeenUs < higherSeenUs)
            {
                (higherSeenUs, higher) = (claim.SeenUs, epoch);
            }
        }

        FormerOwnersAsked += asked ? 1 : 0;
    }

    private void Violate(string what)
    {
        if (_violations.Count < 100)
        {
            _violations.Add(what);
        }
    }

    private sealed class Claim(int shard)
    {
        public int Shard => shard;

        /// <summary>By this time it had been seen.</summary>
        public long SeenUs { get; set; } = long.MaxValue;

        /// <summary>At this time or later the slot was served under it.</summary>
        public long ServedUs { get; set; } = long.MinValue;
    }
}
